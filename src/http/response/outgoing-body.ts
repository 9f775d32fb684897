/**
 * The body of one large response: slices, sent as fast as the client takes them. Nothing is made or kept ahead of the client but one slice, and a
 * client that takes nothing for a while is disconnected. A body that can't be completed ends the connection in the middle: the client sees a
 * broken answer, never one that is whole but lacks something.
 */

/** Where the slices come from. */
export interface ChunkSource {
  /** Undefined after the last slice. */
  next(): Promise<Uint8Array | undefined>;
  /** Called once, however the body ends. */
  close(): void;
}

/** Why a body ended, as `/metrics` counts it: `slow` took nothing any more, `failed` could not be completed. */
export type BodyEndReason = "sent" | "client" | "slow" | "failed";

export interface OutgoingOptions {
  readonly stallMs: number;
  /** Ends the connection, also where its peer takes nothing. */
  readonly closeConnection: () => void;
  readonly onEnded: (ending: BodyEndReason, cause: unknown) => void;
}

export class OutgoingBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #source: ChunkSource;
  readonly #options: OutgoingOptions;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #stallTimer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(source: ChunkSource, options: OutgoingOptions) {
    this.#source = source;
    this.#options = options;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: (controller) => this.#pull(controller),
        cancel: () => this.#end("client"),
      },
      { highWaterMark: 0 },
    );
    this.#expectPull();
  }

  /** The connection takes more. */
  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    clearTimeout(this.#stallTimer);
    try {
      const slice = await this.#source.next();
      if (this.#ended) return;
      if (slice === undefined) {
        this.#end("sent");
        controller.close();
      } else {
        controller.enqueue(slice);
        this.#expectPull();
      }
    } catch (error) {
      if (!this.#ended) this.#break("failed", error);
    }
  }

  #expectPull(): void {
    this.#stallTimer = setTimeout(() => this.#break("slow"), this.#options.stallMs);
  }

  /** Without a last chunk the client knows that something is missing. */
  #break(ending: BodyEndReason, cause?: unknown): void {
    this.#end(ending, cause);
    this.#controller?.error(new Error("the response can't be completed"));
    this.#options.closeConnection();
  }

  #end(ending: BodyEndReason, cause?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#stallTimer);
    this.#source.close();
    this.#options.onEnded(ending, cause);
  }
}
