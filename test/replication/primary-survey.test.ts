/** What a primary knows of other nodes, however they behave, with a clock that the test controls. */
import { expect, test } from "bun:test";
import { PrimarySurvey } from "../../src/replication/survey/primary-survey.ts";
import {
  decodeReport,
  decodeSurvey,
  type NodeReport,
  type Question,
  questionsMax,
  surveyedNodesMax,
} from "../../src/replication/transport/reports.ts";
import { must } from "../../src/util/assert.ts";
import { SimulatedClock } from "./simulated-clock.ts";

const epoch = "0123456789abcdef";

function reportOf(node: string, change: Partial<NodeReport> = {}): NodeReport {
  const position = { epoch, term: 1, offset: 5 };
  return {
    ...{ node, role: "edge", version: "1.0.0", state: "LIVE", ready: true, age_ms: 0, brokers: [] },
    ...position,
    ...change,
  };
}

function surveyOf(announce: (questions: readonly Question[]) => void = () => {}) {
  const clock = new SimulatedClock();
  const survey: PrimarySurvey = new PrimarySurvey(
    () => reportOf("primary", { role: "primary" }),
    () => ({ epoch, offset: 5 }),
    () => announce(survey.questions ?? []),
    clock,
  );
  return { survey, clock };
}

test("a question ends also if it cannot be sent, and the answer is what is known", async () => {
  const { survey, clock } = surveyOf(() => {
    throw new Error("the database cannot be read");
  });
  survey.noteReporter("edge-a", "edge");
  for (let offset = 0; offset < 2 * questionsMax; offset++) {
    const nodes = await survey.ask({ offset });
    expect(nodes.map(({ node, answered }) => [node, answered])).toEqual([
      ["primary", true],
      ["edge-a", false],
    ]);
    expect(survey.questions).toBeUndefined();
  }
  // No timer is left.
  clock.pass(10_000);
});

test("nodes with ids that no node can have do not make the list useless for all others", async () => {
  const { survey, clock } = surveyOf();
  const position = { epoch, term: 1, offset: 4 };
  survey.notePosition("edge-a", position);
  for (const id of ["", "a b", "ä", "a/b", "x".repeat(200), "a@b@c"]) {
    survey.notePosition(id, position);
    survey.noteStatus(id, { v: 1, epoch, offset: 4, hash: null, state: "LIVE" });
    expect(decodeReport(JSON.stringify(reportOf(id)))).toBeUndefined();
  }
  survey.notePosition("edge-b@team", position);
  const asked = survey.ask({});
  clock.pass(1000);
  const nodes = await asked;
  expect(nodes.map(({ node }) => node).toSorted()).toEqual(["edge-a", "edge-b@team", "primary"]);
  expect(decodeSurvey(JSON.stringify({ nodes }))).toEqual([...nodes]);
});

test("a node that reports under more names than a cluster has displaces none of the answers", async () => {
  let question = "";
  const { survey, clock } = surveyOf((questions) => (question = must(questions[0]).id));
  survey.noteReporter("edge-a", "edge");
  const asked = survey.ask({ trace: "a".repeat(32) });
  for (let index = 0; index < 2 * surveyedNodesMax; index++) survey.receive(reportOf(`n${index}`, { question }));
  survey.receive(reportOf("edge-a", { question }));
  clock.pass(1000);
  const nodes = await asked;
  expect(nodes.length).toBeLessThanOrEqual(surveyedNodesMax);
  expect(nodes.find(({ node }) => node === "edge-a")?.answered).toBe(true);
});

test("a report cannot have a time that is no date", () => {
  for (const applied_ms of [1e300, 8.64e15 + 1, -1])
    expect(decodeReport(JSON.stringify(reportOf("edge-a", { applied_ms })))).toBeUndefined();
  const last = reportOf("edge-a", { applied_ms: 8.64e15 });
  expect(decodeReport(JSON.stringify(last))).toEqual(last);
});
