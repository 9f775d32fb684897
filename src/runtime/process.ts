/** The process of the program: stop signals, unhandled errors, standard input and output. */
import { createInterface } from "node:readline/promises";
import type { Readable, Writable } from "node:stream";
import { printableLines } from "../util/printable.ts";
import { isDamage, storageFailureIn } from "../util/storage-failure.ts";

export interface StandardStreams {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

let streams: StandardStreams = process;

/** Replaces the standard streams, or puts those of the process back: a caller in the process gets the output of a command. */
export function useStreams(others: StandardStreams = process): void {
  streams = others;
}

/** Resolves with the name of the first SIGTERM or SIGINT. A second signal ends the process immediately. */
export function stopSignal(): Promise<"SIGTERM" | "SIGINT"> {
  return new Promise((resolve) => {
    let asked = false;
    const listen = (signal: "SIGTERM" | "SIGINT", exitStatus: number): void => {
      process.on(signal, () => {
        if (asked) process.exit(exitStatus);
        asked = true;
        resolve(signal);
      });
    };
    listen("SIGTERM", 143);
    listen("SIGINT", 130);
  });
}

/**
 * Reports errors that no code caught. The process continues after a rejected promise without a handler, a failure of the
 * system, such as a full disk or too many open files, and an unreadable page of a database. After any other uncaught
 * exception the state is unknown, so the process ends (`isFatal`).
 */
export function onUnhandledError(report: (error: unknown, isFatal: boolean) => void): void {
  process.on("unhandledRejection", (error) => report(error, false));
  process.on("uncaughtException", (error) => {
    const isFatal = !isSystemError(error) && !isDamage(error);
    report(error, isFatal);
    if (isFatal) process.exit(1);
  });
}

/** Errors of the system that are not mistakes of the caller. */
const systemErrors: ReadonlySet<unknown> = new Set(
  `EMFILE ENFILE ENOSPC EDQUOT EIO EROFS ENXIO ENODEV ESTALE EUCLEAN ENOMEM ENOBUFS EAGAIN EACCES EPERM ENOENT EPIPE ECONNRESET ECONNABORTED
  ECONNREFUSED ENOTCONN ETIMEDOUT EHOSTUNREACH EHOSTDOWN ENETUNREACH ENETDOWN ENETRESET EADDRNOTAVAIL`.split(/\s+/),
);

/** Whether an error comes from the system, directly or through SQLite. */
export function isSystemError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return systemErrors.has(code) || storageFailureIn(error) !== undefined;
}

/**
 * Writes text to standard output, and waits, so that an exit right after loses nothing. Escapes control characters except
 * line breaks and tabs; JSON keeps its meaning. Text from others that must stay on one line needs `printable` first.
 */
export async function print(text: string): Promise<void> {
  await write(streams.stdout, printableLines(text));
}

/** The same for endless output. Resolves with false when the reader has closed its end. */
export function printUntilClosed(text: string): Promise<boolean> {
  return write(streams.stdout, printableLines(text));
}

export async function printError(text: string): Promise<void> {
  await write(streams.stderr, printableLines(text));
}

/** Writes text unchanged: the only control sequences in it are our own colours. */
export async function printColored(stream: "stdout" | "stderr", text: string): Promise<void> {
  await write(streams[stream], text);
}

/** Writes the content of a file, unchanged for another program, escaped on a terminal. */
export async function printContent(text: string): Promise<void> {
  await write(streams.stdout, isTerminal("stdout") ? printableLines(text) : text);
}

/** From now on only the owner may open files that this process and its children create. */
export function keepFilesPrivate(): void {
  process.umask(0o077);
}

/** Writes text unchanged and does not wait: for messages of the parser of the command line, and for progress. */
export function writeNow(stream: "stdout" | "stderr", text: string): void {
  streams[stream].write(text);
}

/** Standard input in parts. */
export function inputStream(): Readable {
  return streams.stdin;
}

/** All of standard input. */
export async function readInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of inputStream()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** On a terminal, or if FORCE_COLOR is set (and not `0` or `false`), but never if NO_COLOR is set. */
export function wantsColor(stream: "stdout" | "stderr"): boolean {
  const { NO_COLOR: none = "", FORCE_COLOR: forced = "", TERM: terminal } = process.env;
  if (none !== "") return false;
  if (forced !== "") return !/^(?:0|false)$/i.test(forced);
  return isTerminal(stream) && terminal !== "dumb";
}

export function isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean {
  return streams[stream].isTTY === true;
}

/** Asks a person at the terminal. An empty text if standard input ends. */
export async function readAnswer(question: string): Promise<string> {
  const lines = createInterface({ input: streams.stdin, output: streams.stderr });
  try {
    const ended = new Promise<string>((resolve) => lines.once("close", () => resolve("")));
    return await Promise.race([lines.question(printableLines(question)), ended]);
  } finally {
    lines.close();
  }
}

function write(stream: Writable, text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (!error) resolve(true);
      // The reader may stop early (`ostiary config | head -1`). That is not an error.
      else if ((error as NodeJS.ErrnoException).code === "EPIPE") resolve(false);
      else reject(error);
    });
  });
}
