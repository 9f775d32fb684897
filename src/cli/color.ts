/** Errors and warnings in colour. Data in a message has to be passed through `printable` first. */
import { printColored, wantsColor } from "../runtime/process.ts";
import { printableLines } from "../util/printable.ts";

const codes = { red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export function paint(stream: "stdout" | "stderr", color: keyof typeof codes, text: string): string {
  return wantsColor(stream) ? `\u001b[${codes[color]}m${text}\u001b[0m` : text;
}

/** Prints an error as one line on standard error. */
export function printFailure(message: string): Promise<void> {
  return printColored("stderr", `${paint("stderr", "red", "error:")} ${printableLines(message)}\n`);
}

/** Prints a warning as one line on standard error. */
export function printWarning(message: string): Promise<void> {
  return printColored("stderr", `${paint("stderr", "yellow", "warning:")} ${printableLines(message)}\n`);
}
