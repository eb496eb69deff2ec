// After files.js: the options as JSON, then paths; prints what readRecording makes of them.
const fs = require("fs");
const wanted = JSON.parse(process.argv[1]);
const files = process.argv.slice(2).map(path => ({
  name: path,
  text: async () => fs.readFileSync(path, "utf8"),
  arrayBuffer: async () => new Uint8Array(fs.readFileSync(path)).buffer,
}));
readRecording(files, wanted).then(
  read => console.log(JSON.stringify({ samples: [...read.samples], notes: read.notes })),
  error => console.log(JSON.stringify({ error: error.message })),
);
