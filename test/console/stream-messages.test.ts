/** Event streams of the node in the console: their messages, and connections that are dead without an error. */
import { expect, test } from "bun:test";
import { type Message, messagesOf } from "../../src/console/ui/api/stream-messages.ts";

/** A stream of some chunks that is never closed; `cancelled` counts how often its reader gave it up. */
function openStream(chunks: readonly string[]) {
  const counts = { cancelled: 0 };
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(stream) {
      for (const chunk of chunks) stream.enqueue(new TextEncoder().encode(chunk));
    },
    cancel: () => void (counts.cancelled += 1),
  });
  return { body, counts };
}

test("a stream that sends nothing any more ends, and its connection is closed", async () => {
  const { body, counts } = openStream(["id: 1\ndata: {", '"a":"é"}\n\n', ": nothing new\n\n"]);
  expect(await Array.fromAsync(messagesOf(body, 10))).toEqual([{ id: "1" }, { data: { a: "é" } }]);
  expect(counts.cancelled).toBe(1);
});

test.each<[string, readonly Message[]]>([
  ['event: end\ndata: {"message":"later"}\n\ndata: {"a":2}\n\n', []],
  ['event: gone\ndata: {"message":"trimmed"}\n\n', [{ gone: "trimmed" }]],
  ["id: 7\ndata:\n\n", [{ id: "7" }]],
])("after an event, %j gives %j", async (text, expected) => {
  const { body } = openStream(['data: {"a":1}\n\n', text]);
  expect(await Array.fromAsync(messagesOf(body, 10))).toEqual([{ data: { a: 1 } }, ...expected]);
});

test("a reader that has enough closes the connection", async () => {
  const { body, counts } = openStream(['data: {"a":1}\n\n', 'data: {"a":2}\n\n']);
  for await (const message of messagesOf(body)) {
    expect(message).toEqual({ data: { a: 1 } });
    break;
  }
  expect(counts.cancelled).toBe(1);
});
