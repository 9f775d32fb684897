/** What nodes of this process log, for tests that are about it. */
import { startLogging } from "../../src/telemetry/logger.ts";

/** Runs `body` with the lines that are logged meanwhile, from this level on. */
export async function withCapturedLog(
  body: (lines: readonly string[]) => Promise<void>,
  level: "debug" | "info" | "warning" = "warning",
): Promise<void> {
  const lines: string[] = [];
  startLogging({ level, format: "text" }, (line) => lines.push(line));
  try {
    await body(lines);
  } finally {
    startLogging({ level: "error", format: "text" }, () => {});
  }
}
