/** The messages of an event stream of the node. Pure but for its timer. */
import { createParser } from "eventsource-parser";

export interface Message {
  /** The position. It can come without an event. */
  readonly id?: string;
  readonly data?: unknown;
  /** Why the node cannot continue the stream at the wanted position. */
  readonly gone?: string;
}

/** A node sends a comment at least each minute. A connection can be dead without an error, such as after a sleep. */
const silenceMsMax = 120_000;
/** More than any event of a node. */
const bufferedCharactersMax = 2 ** 24;

/** Ends when the node ends the stream, or sent nothing for `silenceMs`. Throws the errors of the connection. */
export async function* messagesOf(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  silenceMs = silenceMsMax,
): AsyncGenerator<Message> {
  const messages: (Message | "end")[] = [];
  const parser = createParser({
    maxBufferSize: bufferedCharactersMax,
    onId: (id) => messages.push({ id }),
    onEvent({ event, data }) {
      if (data === "") return;
      const content = JSON.parse(data) as { readonly message?: string };
      if (event === "gone") messages.push({ gone: content.message ?? "" });
      else messages.push(event === "end" ? "end" : { data: content });
    },
    onError(error) {
      if (error.type === "max-buffer-size-exceeded") throw error;
    },
  });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  const cancel = (): Promise<void> => reader.cancel().catch(() => {});
  try {
    for (;;) {
      const timer = setTimeout(() => void cancel(), silenceMs);
      const { value } = await reader.read().finally(() => clearTimeout(timer));
      if (value === undefined) return;
      parser.feed(decoder.decode(value, { stream: true }));
      for (const message of messages.splice(0)) {
        if (message === "end") return;
        yield message;
      }
    }
  } finally {
    await cancel();
  }
}
