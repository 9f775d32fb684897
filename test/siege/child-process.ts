/** A helper process of the siege: it prints one JSON value a line, and ends when the process that started it does. */

/** What the parent does: starts a script of this folder with a plan, and takes its messages. */
export class Child<Message> {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly exited: Promise<number>;

  constructor(script: string, plan: unknown, onMessage: (message: Message) => void) {
    this.#process = Bun.spawn([process.execPath, script, JSON.stringify(plan)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      // A client of Bun keeps other requests waiting beyond this many.
      env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "2000" },
    });
    const read = this.#read(onMessage);
    this.exited = this.#process.exited.then(async (status) => {
      await read;
      return status;
    });
  }

  /** Asks it to end by itself, which it does in a moment; by force where it does not. */
  async stop(withinMs = 20_000): Promise<number> {
    await this.#process.stdin.end();
    const timer = setTimeout(() => this.kill(), withinMs);
    const status = await this.exited;
    clearTimeout(timer);
    return status;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async #read(onMessage: (message: Message) => void): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#process.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") onMessage(JSON.parse(line) as Message);
    }
  }
}

/** What the child does: prints a message for its parent. */
export function tell(message: unknown): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Resolves when the parent asks to stop, or is gone. */
export async function standardInputEnded(): Promise<void> {
  // A parent that is gone reads nothing any more either.
  process.stdout.on("error", () => process.exit(0));
  for await (const _ of Bun.stdin.stream());
}

/** Ends this process at once when the parent is gone or asks for it. */
export function endWithStandardInput(): void {
  void standardInputEnded().then(() => process.exit(0));
}
