/**
 * The body of one large response: chunks that are sent as fast as the client reads them. Only one chunk is produced
 * ahead of the client, and a client that reads nothing for a while is disconnected. If the body cannot be completed,
 * the connection is closed in the middle of it: the client gets a broken response, never one that looks complete but is
 * not.
 */

/** The source of the chunks. */
export interface ChunkSource {
  /** Returns undefined after the last chunk. */
  next(): Promise<Uint8Array | undefined>;
  /** Called once, for every kind of end. */
  close(): void;
}

/**
 * Why a body ended, for `/metrics`: with `slow` the client stopped reading, with `failed` the body could not be
 * completed.
 */
export type BodyEndReason = "sent" | "client" | "slow" | "failed";

export interface OutgoingOptions {
  readonly stallMs: number;
  /** Closes the connection, even if the client reads nothing. */
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

  /** The connection can take more. */
  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    clearTimeout(this.#stallTimer);
    try {
      const chunk = await this.#source.next();
      if (this.#ended) return;
      if (chunk === undefined) {
        this.#end("sent");
        controller.close();
      } else {
        controller.enqueue(chunk);
        this.#expectPull();
      }
    } catch (error) {
      if (!this.#ended) this.#abort("failed", error);
    }
  }

  #expectPull(): void {
    this.#stallTimer = setTimeout(() => this.#abort("slow"), this.#options.stallMs);
  }

  /** Without the last chunk the client knows that the response is incomplete. */
  #abort(ending: BodyEndReason, cause?: unknown): void {
    this.#end(ending, cause);
    this.#controller?.error(new Error("the response cannot be completed"));
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
