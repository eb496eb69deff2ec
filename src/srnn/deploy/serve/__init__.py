"""A small service: WebSocket streams and batches over HTTP for trained networks, and a live page. Needs the extra ``serve``.

    limits.py     limits of one client's use of resources
    access.py     access control: token, host, origin
    messages.py   the messages of a stream
    stream.py     one WebSocket stream
    batch.py      whole sequences at once
    app.py        the routes
    guard.py      connections that are silent, or do not read
    server.py     uvicorn

Nothing here is imported by the rest of the library; ``import srnn`` needs neither FastAPI nor uvicorn.
"""
