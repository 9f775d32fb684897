/**
 * Log lines on standard error, as text or as JSON. Every line is masked: secrets of API keys, and values of properties
 * with names of secrets. So no careless call can write a key to the log. A line of a hosted environment names it.
 */
import { configureSync, getLogger as getLogtapeLogger, type Logger, type LogRecord } from "@logtape/logtape";
import { context, trace } from "@opentelemetry/api";
import { printable, printableLines } from "../util/printable.ts";
import { currentEnvironment } from "./current-environment.ts";
import { isSecretName, mask, maskSecrets } from "./mask-secrets.ts";
import { metrics } from "./metrics.ts";
import { traceIdOf } from "./trace-context.ts";

export interface LoggingOptions {
  readonly level: "debug" | "info" | "warning" | "error";
  readonly format: "text" | "json";
  /** Longer lines are cut, so that input of strangers cannot fill the disk. */
  readonly lineBytesMax?: number;
}

const lineBytesMaxDefault = 8192;

let isDebug = false;

/** Whether lines of level `debug` are written. To be checked before computing the values of a frequent line. */
export function isDebugging(): boolean {
  return isDebug;
}

/** Configures the log of this thread. A second call replaces the first; tests do that. */
export function startLogging(options: LoggingOptions, write: (line: string) => void = writeToStderr): void {
  const format = options.format === "json" ? formatJson : formatText;
  isDebug = options.level === "debug";
  configureSync({
    reset: true,
    sinks: { lines: (record) => write(`${format(record, options.lineBytesMax ?? lineBytesMaxDefault)}\n`) },
    loggers: [
      { category: "ostiary", lowestLevel: options.level, sinks: ["lines"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["lines"] },
    ],
  });
}

/** The logger of a component, such as `broker`. A message can contain properties as `{name}`. */
export function getLogger(part: string): Logger {
  return getLogtapeLogger(["ostiary", part]);
}

/** Counts a line that cannot be written (full disk, reader gone) as lost: a node must not end because of its log. */
function writeToStderr(line: string): void {
  if (!process.stderr.listeners("error").includes(countLost)) process.stderr.on("error", countLost);
  try {
    process.stderr.write(line);
  } catch {
    countLost();
  }
}

function countLost(): void {
  metrics.logLinesLost.inc();
}

export function formatText(record: LogRecord, lineBytesMax = lineBytesMaxDefault): string {
  const head = `${new Date(record.timestamp).toISOString()} ${record.level.padEnd(7)} ${part(record)}: ${printable(messageOf(record))}`;
  const pairs = Object.entries<unknown>({ ...record.properties, ...environmentOf() })
    .filter(([name, value]) => value !== undefined && !String(record.rawMessage).includes(`{${name}}`))
    .map(([name, value]) => (value instanceof Error ? "" : ` ${name}=${printable(showValue(name, value))}`));
  const stacks = Object.values(record.properties).flatMap((value) =>
    value instanceof Error ? [`\n${printableLines(stackOf(value))}`] : [],
  );
  return cut(maskSecrets([head, ...pairs, ...stacks].join("")), lineBytesMax);
}

export function formatJson(record: LogRecord, lineBytesMax = lineBytesMaxDefault): string {
  const span = trace.getSpan(context.active());
  const traceId = span === undefined ? null : traceIdOf(span);
  const properties = Object.fromEntries(
    Object.entries(record.properties).map(([name, value]) => [
      name,
      value instanceof Error ? stackOf(value) : isSecretName(name) ? mask : value,
    ]),
  );
  const message = messageOf(record);
  const line = (text: string, more: object): string =>
    maskSecrets(
      printable(
        JSON.stringify({
          time: new Date(record.timestamp).toISOString(),
          level: record.level,
          part: part(record),
          message: text,
          ...(traceId === null ? {} : { traceId }),
          ...more,
          ...environmentOf(),
        }),
      ),
    );
  const whole = line(message, properties);
  // A line that is cut must still be JSON. Escapes take up to six bytes for a character.
  return Buffer.byteLength(whole) <= lineBytesMax ? whole : line(cut(message, lineBytesMax / 8), { cut: true });
}

/** Cuts text to a number of bytes, and marks it as cut. */
function cut(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  return bytes.length <= bytesMax ? text : `${new TextDecoder().decode(bytes.subarray(0, bytesMax))}… (cut)`;
}

function environmentOf(): { readonly environment?: string } {
  const environment = currentEnvironment();
  return environment === undefined ? {} : { environment };
}

function part(record: LogRecord): string {
  return record.category.slice(1).join(".");
}

function messageOf(record: LogRecord): string {
  return record.message
    .map((piece) => (piece instanceof Error ? piece.message : typeof piece === "string" ? piece : showValue("", piece)))
    .join("");
}

function showValue(name: string, value: unknown): string {
  if (isSecretName(name)) return mask;
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}

/** The stack with those of all causes. The cause of an error from a worker has the worker's stack. */
function stackOf(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own;
}
