/** Failures in colour, for people. Text from elsewhere must have gone through `printable` before. */
import { printColored, wantsColor } from "../runtime/process.ts";
import { printableLines } from "../util/printable.ts";

const codes = { red: 31, yellow: 33 } as const;

export function paint(stream: "stdout" | "stderr", color: keyof typeof codes, text: string): string {
  return wantsColor(stream) ? `\u001b[${codes[color]}m${text}\u001b[0m` : text;
}

/** To standard error, and a line of its own. */
export function printFailure(message: string): Promise<void> {
  return printColored("stderr", `${paint("stderr", "red", "error:")} ${printableLines(message)}\n`);
}

/** The same. */
export function printWarning(message: string): Promise<void> {
  return printColored("stderr", `${paint("stderr", "yellow", "warning:")} ${printableLines(message)}\n`);
}
