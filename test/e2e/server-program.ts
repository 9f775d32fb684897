/** A server of somebody else as a process: started until it takes connections, frozen, killed and started again. What it writes to standard error is kept. */
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

  /** Only starts the process. */
  launch(): void {
    this.#process = Bun.spawn([...this.#command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    void this.#keep(this.#process.stderr);
  }

  /** Resolves when it takes connections. Throws where it ends before or takes longer than `timeoutMs`. */
  async start(timeoutMs = 15_000): Promise<void> {
    this.launch();
    const deadline = Date.now() + timeoutMs;
    while (!(await this.#listens())) {
      if (this.#process?.exitCode !== null || Date.now() > deadline)
        throw new Error(`${this.#command.join(" ")} does not start:\n${this.#output}`);
      await Bun.sleep(20);
    }
  }

  /** Stops it from doing anything, with all connections kept: what a machine that hangs looks like. */
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
    const { host: hostname, port } = this.#address;
    try {
      const socket = await Bun.connect({ hostname, port, socket: { data: () => {} } });
      socket.end();
      return true;
    } catch {
      return false;
    }
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream)
      this.#output = (this.#output + decoder.decode(chunk, { stream: true })).slice(-outputCharactersKept);
  }
}
