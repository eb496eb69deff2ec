// After device.js: what it makes of the page's values, as samples of the C.
const room = new KINDS[PAGE.facts.sample](1), written = value => (room[0] = value, room[0]);
const rows = JSON.parse(DATA).values;
console.log(JSON.stringify(rows.map(row => row.map((value, channel) => written(asSample(value, channel, PAGE.facts))))));
