/**
 * Defaults of limits that follow from the memory and the processors that this process may use, such as those of a
 * container. They only lower defaults: a value in the configuration stays as it is.
 */
import { defaultLimits, type Limits } from "./limits.ts";

export interface Resources {
  /** Undefined without a limit. */
  readonly memoryBytes: number | undefined;
  /** A part of a processor is possible. Undefined without a limit. */
  readonly processors: number | undefined;
}

const MiB = 1024 * 1024;

/** About the memory of a worker process before it works. */
const workerProcessBytes = 100 * MiB;
/** A worker process gets no less than this, also if all of them together could then exceed the limit. */
const workBytesMin = 64 * MiB;
/** What a worker process may use together with all others; the rest is for the node itself. */
const workShare = 0.6;
/** With less memory each kind of work has one process fewer, so that each process has enough. */
const fewProcessesBelowBytes = 4096 * MiB;
/** About the memory of an entry of the symbol cache, and an estimate for one of the decision cache. */
const symbolBytes = 40;
const decisionBytes = 500;
/** Explanations, which no limit bounds, and the queries that are not slow. */
const otherProcesses = 3;

/** The limits that the resources lower, with their new defaults; whole MiB for sizes. */
export function limitsWithin({ memoryBytes, processors }: Resources): Partial<Limits> {
  const processes = processesWithin(memoryBytes, processors);
  const sizes = memoryBytes === undefined ? {} : sizesWithin(memoryBytes, processes);
  const wanted: Readonly<Record<string, number>> = { ...processes, ...sizes };
  return Object.fromEntries(
    Object.entries(wanted).filter(([name, value]) => value < defaultLimits[name as keyof Limits]),
  );
}

type Processes = Pick<Limits, "slowQueriesMax" | "policyChecksAtWorkMax">;

/**
 * The time of all processes counts towards the limit of processors. So worker processes that use it up would stop the
 * serving thread too, whatever its priority.
 */
function processesWithin(memoryBytes: number | undefined, processors = Number.POSITIVE_INFINITY): Processes {
  const most = (memoryBytes ?? fewProcessesBelowBytes) < fewProcessesBelowBytes ? 1 : Math.floor(processors);
  const within = (limit: number): number => Math.max(1, Math.min(limit, most));
  return {
    slowQueriesMax: within(defaultLimits.slowQueriesMax),
    policyChecksAtWorkMax: within(defaultLimits.policyChecksAtWorkMax),
  };
}

function sizesWithin(memoryBytes: number, { slowQueriesMax, policyChecksAtWorkMax }: Processes) {
  const processes = slowQueriesMax + otherProcesses + 2 * policyChecksAtWorkMax;
  const work = Math.max(workBytesMin, wholeMiB((memoryBytes * workShare) / processes - workerProcessBytes));
  const buffered = wholeMiB(memoryBytes / 8);
  return {
    queryMemoryBytesMax: work,
    policyCheckMemoryBytesMax: work,
    bufferedBytesMax: buffered,
    bufferedNodeBytesReserved: wholeMiB(buffered / 8),
    resultSetsBytesMax: wholeMiB(memoryBytes / 32),
    symbolCacheEntriesMax: Math.floor(memoryBytes / 16 / symbolBytes),
    decisionCacheEntriesMax: Math.floor(memoryBytes / 32 / decisionBytes),
  } satisfies Partial<Limits>;
}

const wholeMiB = (bytes: number): number => Math.max(1, Math.floor(bytes / MiB)) * MiB;

/** A message about limits of the system that lower some defaults; undefined if they lower none. */
export function describeResources(resources: Resources): string | undefined {
  const lowered = Object.keys(limitsWithin(resources));
  if (lowered.length === 0) return undefined;
  const { memoryBytes, processors } = resources;
  const parts = [
    ...(memoryBytes === undefined ? [] : [`${Math.floor(memoryBytes / MiB)} MiB of memory`]),
    ...(processors === undefined ? [] : [`${Math.round(processors * 100) / 100} processors`]),
  ];
  return `the control group of this process has ${parts.join(" and ")}, so the defaults of ${lowered.map((name) => `\`${name}\``).join(", ")} are lower: \`ostiary config\` shows those that are settings`;
}
