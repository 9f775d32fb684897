/** A third-party server as a process that can be started, frozen and killed. Its standard error is kept. */
import { once } from "node:events";
import { connect } from "node:net";
import * as Bun from "bun";
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

const outputCharactersKept = 200_000;

export class ServerProgram {
  readonly #command: readonly string[];
  readonly #address: ServerAddress;
  #process: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;
  #output = "";

  constructor(command: readonly string[], address: ServerAddress) {
    this.#command = command;
    this.#address = address;
  }

  get output(): string {
    return this.#output;
  }

  /** Starts the process without waiting. */
  launch(): void {
    this.#process = Bun.spawn([...this.#command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    void this.#keep(this.#process.stderr);
  }

  /** Resolves when it accepts connections. Throws if it ends before or needs more than `timeoutMs`. */
  async start(timeoutMs = 45_000): Promise<void> {
    this.launch();
    const deadline = Date.now() + timeoutMs;
    while (!(await this.#listens())) {
      if (this.#process?.exitCode !== null || Date.now() > deadline)
        throw new Error(`${this.#command.join(" ")} does not start:\n${this.#output}`);
      await Bun.sleep(20);
    }
  }

  /** Freezes it with all connections open, like a hanging machine. */
  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  async #listens(): Promise<boolean> {
    const socket = connect(this.#address);
    try {
      await once(socket, "connect");
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream)
      this.#output = (this.#output + decoder.decode(chunk, { stream: true })).slice(-outputCharactersKept);
  }
}
