/** The results of the tests of a policy, with a button to the place of each failure. */
import { policyTexts } from "../texts/policy.ts";
import { failureText, passedTests } from "./marks.ts";
import type { Failure, TestReport } from "./reports.ts";

const words = policyTexts.tests;

export interface TestReportProps {
  readonly report: TestReport;
  /** Whether the policy has changed since the tests were run. */
  readonly isOld: boolean;
  readonly onOpen: (failure: Failure) => void;
}

export function TestReportView({ report, isOld, onOpen }: TestReportProps) {
  const { tests, failures, coverage } = report;
  return (
    <>
      <p role="status" class={failures.length > 0 || !report.success ? "failure" : "good"}>
        {tests.length === 0 ? words.none : words.summary(passedTests(report), tests.length)} {isOld && words.old}
      </p>
      {coverage !== undefined && (
        <p>
          {words.coverage(coverage.exercised, coverage.rules)} {!coverage.complete && words.incomplete}
        </p>
      )}
      <ul class="place-list">
        {failures.map((failure, index) => (
          <li key={index} class="error">
            <button type="button" class="place" onClick={() => onOpen(failure)}>
              {policyTexts.problems.place(failure.file, failure.line, failure.column)}
            </button>
            <pre>{failureText(failure)}</pre>
          </li>
        ))}
      </ul>
      <ul>
        {tests.map(({ name, passed, total }, index) => (
          <li key={index}>
            {name}: {passed === total ? words.passed : words.failed}, {words.assertions(passed, total)}
          </li>
        ))}
      </ul>
    </>
  );
}
