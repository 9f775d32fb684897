/** Reading server-sent events from the body of an answer (HTML standard, 9.2.6). */

export interface ServerSentEvent {
  readonly type: string;
  /** Empty where the event only says where the reader is. */
  readonly data: string;
  /** What the last id was; empty before the first. */
  readonly lastEventId: string;
}

/** `onBytes` is called whenever something came, a comment too. */
export async function* parseServerSentEvents(
  body: ReadableStream<Uint8Array> | null,
  onBytes: () => void,
): AsyncGenerator<ServerSentEvent> {
  let lastEventId = "";
  let type = "";
  let data: string[] = [];
  for await (const line of linesOf(body, onBytes)) {
    if (line === "") {
      yield { type: type || "message", data: data.join("\n"), lastEventId };
      [type, data] = ["", []];
      continue;
    }
    const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (name === "event") type = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) lastEventId = value;
  }
}

/** Lines end with a line feed, a carriage return or both. What is left at the end was cut off and is none. */
async function* linesOf(body: ReadableStream<Uint8Array> | null, onBytes: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of body ?? []) {
    onBytes();
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
