/**
 * Plans the questions that will probably be asked, so that no first question waits for its plan: when a database is
 * opened, and when its plans are outdated, for example by a new policy. It plans one question at a time, between
 * requests. What was asked is kept in the data directory for the next start. What the policy declares is planned only
 * while the node is not ready yet, since a plan can delay requests.
 *
 * The databases of all environments of a process share a queue, so one plan is made at a time, and a number of plans,
 * because each takes some 50 kB.
 */
import { z } from "zod";
import type { Engine } from "../../engine/engine.ts";
import type { Shape } from "../../engine/query/shapes.ts";
import { readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { must } from "../../util/assert.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { expectedQuestionsMax } from "../../util/tuning.ts";

const log = getLogger("engine");

const fileName = "expected-questions";
/** As text. */
const nothing = "[]";
const saveIntervalMs = 60_000;
/** How long a node that has just started says that it is not ready because of this. */
const firstMsMax = 2000;
/** Changes of the data come in groups. */
const changePauseMs = 100;
/**
 * The pause after a step is so many times as long as the step, which leaves six sevenths of the thread to requests. The
 * first plans of a process take ten times as long as later ones, but the next question should not wait for that.
 */
const pauseRatio = 6;
const pauseMsMin = 2;
const pauseMsMax = 10;

const name = z.string();
const shapesSchema: z.ZodType<readonly Shape[]> = z.array(
  z.object({
    calls: z.array(z.object({ predicate: name, variables: z.array(z.int().nonnegative()) })),
    variables: z.array(
      z.object({
        type: name,
        mode: z.enum(["constant", "one", "several", "free"]),
        constant: z.object({ type: name, id: name }).optional(),
      }),
    ),
    context: z.array(z.object({ predicate: name, types: z.array(name) })),
  }),
);

/** Where the questions that were asked are kept, as text. */
export interface ExpectedNotes {
  /** Undefined if there are none. */
  read(): string | undefined;
  write(expected: string): void;
}

/** The file in the data directory. */
export function expectedQuestionsFile(directory: string): ExpectedNotes {
  return {
    read: () => readNodeFile(directory, fileName),
    write: (expected) => writeNodeFile(directory, fileName, expected, { wait: false }),
  };
}

export class PlanWarmUp {
  readonly #notes: ExpectedNotes;
  readonly #clock: Clock;
  readonly #steps: StepQueue;
  #engine: Engine | undefined;
  #isRunning = false;
  /** Until when the first run may delay readiness. Undefined before it begins, and when it is over. */
  #firstUntilMs: number | undefined;
  #isFirstOver = false;
  #isChangePlanned = false;
  /** What the file has. */
  #saved = nothing;
  #cancelSaving = (): void => {};

  constructor(notes: ExpectedNotes, clock: Clock) {
    this.#notes = notes;
    this.#clock = clock;
    this.#steps = stepsOf(clock);
  }

  /** Whether the node has just started and plans its first questions. */
  get isFirst(): boolean {
    return this.#firstUntilMs !== undefined && this.#clock.monotonicMs() < this.#firstUntilMs;
  }

  /** Plans for this engine from now on, which nobody has asked yet. `hasPolicy`: whether there is something to plan. */
  begin(engine: Engine, hasPolicy: boolean): void {
    engine.expectedQuestions = this.#askedBefore() ?? this.#read();
    this.#engine = engine;
    this.#isRunning = false;
    if (!hasPolicy) this.#isFirstOver = true;
    if (!this.#isFirstOver) this.#firstUntilMs ??= this.#clock.monotonicMs() + firstMsMax;
    this.#steps.users.add(this);
    this.#cancelSaving();
    this.#cancelSaving = this.#clock.every(saveIntervalMs, () => this.#save());
    this.#run();
  }

  /** What the engine before was asked; undefined if there is none, or its database is damaged. */
  #askedBefore(): readonly Shape[] | undefined {
    try {
      return this.#engine?.expectedQuestions;
    } catch (error) {
      log.debug("the questions to the last database cannot be read: {reason}", { reason: reasonOf(error) });
      return undefined;
    }
  }

  /** The data has changed: some plans may be outdated. */
  onChange(): void {
    if (this.#isChangePlanned || this.#engine === undefined) return;
    this.#isChangePlanned = true;
    this.#clock.after(changePauseMs, () => {
      this.#isChangePlanned = false;
      this.#run();
    });
  }

  /** The engine is closed. */
  end(): void {
    this.#cancelSaving();
    this.#save();
    this.#steps.users.delete(this);
    this.#engine = undefined;
  }

  #run(): void {
    const engine = this.#engine;
    if (this.#isRunning || engine === undefined) return;
    this.#isRunning = true;
    let plans: Generator<undefined, void> | undefined;
    const step = (): void => {
      if (this.#engine !== engine) return;
      // Databases that are opened together have each begun by now.
      plans ??= engine.warmUpPlans(this.#steps.plansMax, () => this.isFirst);
      if (isOver(plans)) this.#finish();
      else this.#steps.add(step);
    };
    this.#steps.add(step);
  }

  #finish(): void {
    this.#isRunning = false;
    this.#isFirstOver = true;
    this.#firstUntilMs = undefined;
  }

  /** What was asked in the last run; nothing if that is not known. */
  #read(): readonly Shape[] {
    try {
      this.#saved = this.#notes.read() ?? nothing;
      return shapesSchema.parse(JSON.parse(this.#saved));
    } catch (error) {
      log.debug("the questions of the last run cannot be read: {reason}", { reason: reasonOf(error) });
      return [];
    }
  }

  #save(): void {
    if (this.#engine === undefined) return;
    try {
      const expected = JSON.stringify(this.#engine.expectedQuestions);
      if (expected === this.#saved) return;
      this.#notes.write(expected);
      this.#saved = expected;
    } catch (error) {
      log.debug("the questions for the next start cannot be written: {reason}", { reason: reasonOf(error) });
    }
  }
}

/** Makes the next plan. Whether that was the last one, or the plans cannot be made: then questions get the same error. */
function isOver(plans: Generator<undefined, void>): boolean {
  try {
    return plans.next().done === true;
  } catch (error) {
    log.debug("questions cannot be planned ahead: {reason}", { reason: reasonOf(error) });
    return true;
  }
}

/** Steps of all databases of a process, one at a time. */
class StepQueue {
  readonly #clock: Clock;
  /** The first one stays here while it runs, so what it adds waits for its end. */
  readonly #waiting: (() => void)[] = [];
  /** The open databases. */
  readonly users = new Set<PlanWarmUp>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many plans each database may make. */
  get plansMax(): number {
    return Math.ceil(expectedQuestionsMax / this.users.size);
  }

  /** `step` must not throw. */
  add(step: () => void): void {
    this.#waiting.push(step);
    if (this.#waiting.length === 1) this.#planNext(pauseMsMin);
  }

  #planNext(pauseMs: number): void {
    this.#clock.after(pauseMs, () => {
      const startMs = this.#clock.monotonicMs();
      must(this.#waiting[0])();
      this.#waiting.shift();
      const tookMs = this.#clock.monotonicMs() - startMs;
      if (this.#waiting.length > 0) this.#planNext(Math.min(pauseMsMax, Math.max(pauseMsMin, pauseRatio * tookMs)));
    });
  }
}

/** The environments of a process have one clock. */
const queues = new WeakMap<Clock, StepQueue>();

function stepsOf(clock: Clock): StepQueue {
  return queues.getOrInsertComputed(clock, () => new StepQueue(clock));
}
