/** A helper process: it prints one JSON value per line, and ends with its parent. */
import * as Bun from "bun";
import { existsSync, writeFileSync } from "node:fs";

/** The lowest priority. */
const idleNiceness = 19;

/** The parent's side: starts a script with a plan, and receives its messages. */
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
      // Linux first shares the processor among sessions, whatever the niceness of a process. Each child is a session,
      // like each node.
      detached: true,
      // The client of Bun queues requests above this number.
      env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "2000" },
    });
    if (priority === "idle") giveWayAsSession(this.#process.pid);
    const read = this.#read(onMessage);
    this.exited = this.#process.exited.then(async (status) => {
      await read;
      return status;
    });
  }

  /** Asks the child to end, and kills it if it does not. */
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

/**
 * Sets the niceness of a session, if the system groups processes by sessions (`man 7 sched`, "The autogroup feature").
 */
function giveWayAsSession(pid: number): void {
  const group = `/proc/${pid}/autogroup`;
  if (existsSync(group)) writeFileSync(group, String(idleNiceness));
}

/** The child's side: prints a message for its parent. */
export function tell(message: unknown): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Resolves when the parent asks to stop, or is gone. */
export async function standardInputEnded(): Promise<void> {
  // A parent that has ended reads nothing.
  process.stdout.on("error", () => process.exit(0));
  for await (const _ of Bun.stdin.stream());
}

/** Ends this process when the parent has ended or requests it. */
export function endWithStandardInput(): void {
  void standardInputEnded().then(() => process.exit(0));
}
