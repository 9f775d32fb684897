/**
 * Log lines on standard error, for people or as JSON. Whatever reaches a line, secrets of API keys and values of properties whose names say
 * that they are secret are masked on the way out, so that one careless call can't put a key into somebody's log store.
 */
import { configureSync, getLogger as getLogtapeLogger, type Logger, type LogRecord } from "@logtape/logtape";
import { context, trace } from "@opentelemetry/api";
import { printable, printableLines } from "../util/printable.ts";
import { isSecretName, mask, maskSecrets } from "./mask-secrets.ts";
import { metrics } from "./metrics.ts";
import { traceIdOf } from "./trace-context.ts";

export interface LoggingOptions {
  readonly level: "debug" | "info" | "warning" | "error";
  readonly format: "text" | "json";
  /** Longer lines are cut, so that what strangers send cannot fill a disk. */
  readonly lineBytesMax?: number;
}

const lineBytesMaxDefault = 8192;

let isDebug = false;

/** Whether lines of level `debug` are written: to be asked before the values of a frequent line are put together. */
export function isDebugging(): boolean {
  return isDebug;
}

/** May be called again, as tests do; the last call holds. One call per thread. */
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

/** The logger of a part, such as `broker`. Messages take `{name}` from their properties. */
export function getLogger(part: string): Logger {
  return getLogtapeLogger(["ostiary", part]);
}

/** Where the line cannot be written (the disk is full, nobody reads it) it is lost and counted: a node must not end because of its log. */
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
  const pairs = Object.entries(record.properties)
    .filter(([name, value]) => value !== undefined && !mentions(record, name))
    .map(([name, value]) =>
      value instanceof Error ? "" : ` ${name}=${maskSecrets(printable(showValue(name, value)))}`,
    );
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
        }),
      ),
    );
  const whole = line(message, properties);
  // A line that is cut must still be JSON. Escapes take up to six bytes for a character.
  return Buffer.byteLength(whole) <= lineBytesMax ? whole : line(cut(message, lineBytesMax / 8), { cut: true });
}

/** At most so many bytes, with a mark where something is missing. */
function cut(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  return bytes.length <= bytesMax ? text : `${new TextDecoder().decode(bytes.subarray(0, bytesMax))}… (cut)`;
}

function part(record: LogRecord): string {
  return record.category.slice(1).join(".");
}

function messageOf(record: LogRecord): string {
  return record.message
    .map((piece) => (piece instanceof Error ? piece.message : typeof piece === "string" ? piece : showValue("", piece)))
    .join("");
}

function mentions(record: LogRecord, name: string): boolean {
  return typeof record.rawMessage === "string" && record.rawMessage.includes(`{${name}}`);
}

function showValue(name: string, value: unknown): string {
  if (isSecretName(name)) return mask;
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}

/** The chain of causes, which for an error of a worker holds the stack of where it happened. */
function stackOf(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own;
}
