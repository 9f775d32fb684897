/** Decisions on their way to the log: which of them are kept, and in which form. */
import type { Span } from "@opentelemetry/api";
import type { Config } from "../config/config.ts";
import type { Limits } from "../config/limits.ts";
import {
  type AnswerNote,
  type AnswerVersion,
  type DecisionKind,
  type ListResult,
  questionToJson,
} from "../engine/request/questions.ts";
import { traceIdOf } from "../telemetry/trace-context.ts";
import type { Clock } from "../util/clock.ts";
import { type Decision, kindOfQuestion, type LoggedKind } from "./decision-entry.ts";

/** What the log needs to know of the request that asked. */
export interface Asking {
  readonly requestId: string;
  /** The API key or the person. */
  readonly principal: { readonly id: string } | undefined;
  readonly span: Span;
  /** On the monotonic clock. */
  readonly startedMs: number;
}

interface RecorderConfig {
  readonly decisions: Config["decisions"];
  readonly limits: Pick<Limits, "decisionQuestionBytesMax">;
}

export abstract class DecisionRecorder {
  readonly #selection: Config["decisions"];
  readonly #questionBytesMax: number;
  readonly #random: () => number;

  constructor({ decisions, limits }: RecorderConfig, clock: Pick<Clock, "random">) {
    this.#selection = decisions;
    this.#questionBytesMax = limits.decisionQuestionBytesMax;
    this.#random = () => clock.random();
  }

  /** Keeps a decision. `isSelected`: whether it is logged. */
  protected abstract keep(decision: Decision, isSelected: boolean): void;

  /**
   * Notes a decision of `POST /api/authorize`. `asked` is the body of the request, or the question if the body is long.
   */
  authorized(asking: Asking, asked: string | object, allowed: boolean, version: AnswerVersion): void {
    this.#add(asking, "authorize", asked, allowed, undefined, version);
  }

  /** Notes a list. `note` is complete. */
  listed(asking: Asking, kind: DecisionKind, question: object, { version, result }: AnswerNote): void {
    if (this.#selection.log === "off" || version === undefined || result === undefined) return;
    this.#add(asking, kindOfQuestion[kind], question, result.count > 0, result, version);
  }

  #add(
    { principal, requestId, span, startedMs }: Asking,
    kind: LoggedKind,
    asked: string | object,
    allowed: boolean,
    result: ListResult | undefined,
    version: AnswerVersion,
  ): void {
    const isSelected = this.#selects(allowed);
    // Lists are kept only for the log.
    if (result !== undefined && !isSelected) return;
    const isBody = typeof asked === "string";
    const decision = {
      kind,
      keyId: principal?.id ?? "",
      requestId,
      traceId: traceIdOf(span),
      question: isBody ? asked : jsonOf(asked, this.#questionBytesMax),
      isBody,
      allowed,
      result,
      version,
      timeMs: Date.now(),
      durationUs: Math.round((performance.now() - startedMs) * 1000),
    };
    this.keep(decision, isSelected);
  }

  #selects(allowed: boolean): boolean {
    const { log: selection, sampleRatio } = this.#selection;
    switch (selection) {
      case "all":
        return true;
      case "denials":
        return !allowed;
      case "sample":
        return this.#random() < sampleRatio;
      default:
        return false;
    }
  }
}

/** The question as JSON; without its lists if it is too long for the log. */
function jsonOf(question: object, bytesMax: number): string {
  const json = "json" in question ? String(question.json) : questionToJson(question);
  if (json.length <= bytesMax) return json;
  const { actor, actorType, action, resource, resourceType } = question as Readonly<Record<string, unknown>>;
  return JSON.stringify({ actor, actorType, action, resource, resourceType, omitted: true });
}
