/** A helper process of the siege: it prints one JSON value a line, and ends when the process that started it does. */
import { existsSync, writeFileSync } from "node:fs";

/** The lowest priority. */
const idleNiceness = 19;

/** What the parent does: starts a script of this folder with a plan, and takes its messages. */
export class Child<Message> {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly exited: Promise<number>;

  /** A child of `priority` "idle" runs when no other process wants the processor. */
  constructor(script: string, plan: unknown, onMessage: (message: Message) => void, priority?: "idle") {
    const program = [process.execPath, script, JSON.stringify(plan)];
    this.#process = Bun.spawn(priority === "idle" ? ["nice", "-n", String(idleNiceness), ...program] : program, {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      // Linux shares the processor among sessions first, whatever the niceness of a process. Each child is a session, as each node is.
      detached: true,
      // A client of Bun keeps other requests waiting beyond this many.
      env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "2000" },
    });
    if (priority === "idle") giveWayAsSession(this.#process.pid);
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

/** Does to a session what `nice` does to a process, where the system groups processes by sessions (`man 7 sched`, "The autogroup feature"). */
function giveWayAsSession(pid: number): void {
  const group = `/proc/${pid}/autogroup`;
  if (existsSync(group)) writeFileSync(group, String(idleNiceness));
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
