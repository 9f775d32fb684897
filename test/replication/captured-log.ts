/** Captures the log of the nodes in this process. */
import { startLogging } from "../../src/telemetry/logger.ts";

/** Runs `body` with the lines that are logged meanwhile, from this level up. */
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
