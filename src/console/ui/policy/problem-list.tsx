/** The problems of a policy, each a button that leads to its place. */
import { policyTexts } from "../texts/policy.ts";
import { type Problem, sortedProblems } from "./places.ts";

const words = policyTexts.problems;
/** A node lists as many. */
const listedMax = 100;

export interface ProblemListProps {
  /** Undefined until the node has answered. */
  readonly problems: readonly Problem[] | undefined;
  readonly onOpen: (problem: Problem) => void;
}

export function ProblemList({ problems, onOpen }: ProblemListProps) {
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
            <ProblemItem key={index} problem={problem} onOpen={onOpen} />
          ))}
      </ul>
      {count > listedMax && <p>{words.more(count - listedMax)}</p>}
    </>
  );
}

function ProblemItem({ problem, onOpen }: { readonly problem: Problem; readonly onOpen: (problem: Problem) => void }) {
  const { file, line, column, severity, message, hint, notes = [], related = [] } = problem;
  return (
    <li class={severity}>
      <button type="button" class="place" onClick={() => onOpen(problem)}>
        {words.place(file, line, column)}
      </button>{" "}
      <strong>{words.severity[severity]}:</strong> {message}
      {hint !== undefined && <p>{words.hint(hint)}</p>}
      {notes.length > 0 && <pre>{notes.join("\n")}</pre>}
      {related.map((other) => (
        <p key={`${other.file}:${other.line}:${other.column}`}>
          {words.place(other.file, other.line, other.column)}: {other.message}
        </p>
      ))}
    </li>
  );
}
