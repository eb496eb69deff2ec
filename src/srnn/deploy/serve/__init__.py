"""A small service: WebSocket streams and batches over HTTP for trained networks, and a live page.
Needs the extra ``serve``.

Nothing here is imported by the rest of the library; ``import srnn`` needs neither FastAPI nor
uvicorn.
"""
