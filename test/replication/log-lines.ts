/** What nodes of this process log, for tests that are about it. */
import { startLogging } from "../../src/telemetry/logger.ts";

/** Runs `body` with the lines that are logged meanwhile, from warnings on. */
export async function withLogLines(body: (lines: readonly string[]) => Promise<void>): Promise<void> {
  const lines: string[] = [];
  startLogging({ level: "warning", format: "text" }, (line) => lines.push(line));
  try {
    await body(lines);
  } finally {
    startLogging({ level: "error", format: "text" }, () => {});
  }
}
