/** The problems of a policy, each with a button that leads to its place, and buttons that fix it. */
import { policyTexts } from "../texts/policy.ts";
import type { Fix } from "./fixes.ts";
import { type Problem, sortedProblems } from "./places.ts";

const words = policyTexts.problems;
/** A node lists as many. */
const listedMax = 100;

export interface ProblemListProps {
  /** Undefined until the node has answered. */
  readonly problems: readonly Problem[] | undefined;
  readonly onOpen: (problem: Problem) => void;
  /** Undefined for those who cannot change the text. */
  readonly onFix: ((fix: Fix) => void) | undefined;
  /** Whether the text has changed since the problems were found, so that the places of fixes may be wrong. */
  readonly isOld: boolean;
}

export function ProblemList({ problems, onOpen, onFix, isOld }: ProblemListProps) {
  const errors = problems?.filter(({ severity }) => severity === "error").length ?? 0;
  const count = problems?.length ?? 0;
  const summary =
    problems === undefined ? words.checking : count === 0 ? words.none : words.count(errors, count - errors);
  return (
    <>
      <p role="status" class={problems !== undefined && count === 0 ? "good" : ""}>
        {summary}
      </p>
      <ul class="place-list">
        {sortedProblems(problems ?? [])
          .slice(0, listedMax)
          .map((problem, index) => (
            <ProblemItem key={index} problem={problem} onOpen={onOpen} onFix={onFix} isOld={isOld} />
          ))}
      </ul>
      {count > listedMax && <p>{words.more(count - listedMax)}</p>}
    </>
  );
}

interface ProblemItemProps extends Pick<ProblemListProps, "onOpen" | "onFix" | "isOld"> {
  readonly problem: Problem;
}

function ProblemItem({ problem, onOpen, onFix, isOld }: ProblemItemProps) {
  const { file, line, column, severity, message, hint, fixes = [], notes = [], related = [] } = problem;
  return (
    <li class={severity}>
      <button type="button" class="place" onClick={() => onOpen(problem)}>
        {words.place(file, line, column)}
      </button>{" "}
      <strong>{words.severity[severity]}:</strong> {message}
      {hint !== undefined && <p>{words.hint(hint)}</p>}
      {onFix !== undefined && fixes.length > 0 && (
        <div class="buttons">
          {fixes.map((fix) => (
            <button key={fix.title} type="button" disabled={isOld} onClick={() => onFix(fix)}>
              {words.fix(fix.title)}
            </button>
          ))}
        </div>
      )}
      {notes.length > 0 && <pre>{notes.join("\n")}</pre>}
      {related.map((other) => (
        <p key={`${other.file}:${other.line}:${other.column}`}>
          {words.place(other.file, other.line, other.column)}: {other.message}
        </p>
      ))}
    </li>
  );
}
