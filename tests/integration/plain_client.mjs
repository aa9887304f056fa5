// A plain client: node plain_client.mjs HOST PORT length|newline COUNT
import net from "node:net";

const [host, port, framing, count] = process.argv.slice(2);
let buffer = Buffer.alloc(0);
let header = null; // a video_frame message: its picture comes next
let seen = 0;

function take(sized) { // the next piece once it is there in full, else null
  const ready = buffer.length >= 4 || !sized;
  const end = !ready ? Infinity : sized ? 4 + buffer.readUInt32BE(0) : buffer.indexOf("\n") + 1 || Infinity;
  if (buffer.length < end) return null;
  const piece = sized ? buffer.subarray(4, end) : buffer.subarray(0, end - 1);
  buffer = buffer.subarray(end);
  return piece;
}

const client = net.createConnection({ host, port: Number(port) });
client.on("error", (error) => { console.error(error.message); process.exitCode = 1; });
client.on("data", (data) => {
  buffer = Buffer.concat([buffer, data]);
  for (let piece; seen < Number(count) && (piece = take(header !== null || framing === "length")); ) {
    const message = header ?? JSON.parse(piece.toString("utf8"));
    if (message.type === "video_frame" && !header) { header = message; continue; }
    if (header) message.jpeg = { bytes: piece.length, soi: piece.readUInt16BE(0) === 0xffd8, eoi: piece.readUInt16BE(piece.length - 2) === 0xffd9 };
    header = null;
    console.log(JSON.stringify(message));
    if (++seen === Number(count)) client.end();
  }
});
