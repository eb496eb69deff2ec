// The engine of the service's page: the network runs on the server, to which samples are sent.
const WAITING = 1 << 20;  // bytes that may wait to be sent

// The token comes in the address; it is kept for this tab, and removed from the address bar.
const params = new URLSearchParams(location.search);
if (params.get("token")) { sessionStorage.setItem("token", params.get("token")); history.replaceState(null, "", location.pathname); }
const token = sessionStorage.getItem("token");
const ask = path => fetch(path, token ? { headers: { Authorization: "Bearer " + token } } : {}).then(reply => {
  if (!reply.ok) throw new Error(reply.status === 401 ? "This server needs its token: add ?token=... to the address." : "The server answered " + reply.status + ".");
  return reply;
});

let socket = null, tries = 0;

// Send as many samples as time has passed; wait for a slow server.
function send(own, began, first) {
  if (own !== socket || !running || own.readyState !== WebSocket.OPEN) return;
  const rate = model.rate || 50, due = Math.floor((performance.now() - began) / 1000 * rate) + first - feed.place;
  if (own.bufferedAmount < WAITING) {
    const most = Math.max(1, Math.floor(60000 / model.channels));
    const data = feed.live ? feed.take() : feed.take(Math.min(due, most));
    if (data.length) own.send(data.slice().buffer);
    if (feed.over) { own.send(JSON.stringify({ type: "finish" })); return; }
  }
  setTimeout(send, PIECE * 1000, own, began, first);
}

const engine = {
  accepts: ".csv,.txt,.npy,.npz,.wav,.flac,.sph,.nist",
  sources: () => [],
  async open() {
    const models = (await (await ask("/v1/models")).json()).models;
    return { models, recordings: (await (await ask("/v1/recordings")).json()).recordings };
  },
  async recording(number) { return new Float32Array(await (await ask("/v1/recordings/" + number)).arrayBuffer()); },

  // The server reads a file as srnn predict does: any format, channels by name, in the network's units, at its rate.
  async read([file]) {
    const asked = new URLSearchParams({ file: file.name, rate: $("rate").value, channels: $("names").value, missing: $("missing").value });
    const reply = await fetch(`/v1/models/${encodeURIComponent(model.model)}/recording?${asked}`, { method: "POST", body: file, headers: token ? { Authorization: "Bearer " + token } : {} });
    if (!reply.ok) throw new Error((await reply.json()).detail);
    return [new Float32Array(await reply.arrayBuffer()), JSON.parse(reply.headers.get("Srnn-Notes")), JSON.parse(reply.headers.get("Srnn-Drift")), JSON.parse(reply.headers.get("Srnn-Channels"))];
  },

  leave() {
    const old = socket;
    socket = null;
    if (old) old.close();
  },

  // A stream of its own, also after a reset: what the one before still sends, such as a state, is nothing to this one.
  connect() {
    if (!socket) tries = 0;
    engine.leave();
    const address = new URL(`/v1/models/${encodeURIComponent(model.model)}/stream`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (token) address.searchParams.set("token", token);
    const own = socket = new WebSocket(address);
    own.binaryType = "arraybuffer";
    own.onopen = () => own.send(JSON.stringify({ type: "start", format: "float32", report: "step", probabilities: true, trace: true, drift: true, finite: "over" in feed, state: lastState, state_every: Math.max(1, Math.round(model.rate || 50)) }));
    own.onmessage = event => {
      if (own !== socket) return;
      const message = JSON.parse(event.data);
      if (message.type === "ready") tries = 0;
      receive(message);
    };
    own.onclose = () => {
      if (own !== socket || !running) return;
      // Lost: resume from the last state, with the samples since then.
      if (++tries > 20) return stop("The connection was lost.", true);
      say("connection lost; resuming from the last state ...", true);
      setTimeout(() => own === socket && engine.connect(), Math.min(5000, 250 * tries));  // unless stopped, or started anew
    };
  },
  run(first) { send(socket, performance.now(), first); },
};
