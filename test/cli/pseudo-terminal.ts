/** Runs a process on a pseudo-terminal. */
import * as Bun from "bun";

export interface Shown {
  readonly status: number;
  /** All that the process wrote, standard output and standard error. */
  readonly text: string;
}

/** `answer` is typed when the process has shown `question`. */
export async function runOnPseudoTerminal(
  command: readonly string[],
  {
    directory,
    environment = {},
    question,
    answer = "",
  }: {
    readonly directory: string;
    readonly environment?: Readonly<Record<string, string>>;
    readonly question?: string;
    readonly answer?: string;
  },
): Promise<Shown> {
  const decoder = new TextDecoder();
  const end = Promise.withResolvers<void>();
  let text = "";
  let isAnswered = question === undefined;
  const child = Bun.spawn([...command], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", TERM: "xterm", ...environment },
    terminal: {
      cols: 120,
      rows: 40,
      data(terminal, bytes) {
        text += decoder.decode(bytes, { stream: true });
        if (isAnswered || !text.includes(question ?? "")) return;
        isAnswered = true;
        terminal.write(answer);
      },
      // The last output can arrive after the end of the process.
      exit: () => end.resolve(),
    },
  });
  const [status] = await Promise.all([child.exited, end.promise]);
  child.terminal?.close();
  return { status, text };
}
