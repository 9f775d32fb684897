/** The samples for an empty environment: each a policy, facts and questions, from the files in `samples/`. */
import type { Draft } from "../ask/question.ts";
import { type Fact, parseFact } from "../facts/fact-text.ts";
import { emptyDraft, type ShownAnswer } from "./shown-answer.ts";
import folders from "./samples/folders.json";
import foldersPolicy from "./samples/folders.polar" with { type: "text" };
import invoices from "./samples/invoices.json";
import invoicesPolicy from "./samples/invoices.polar" with { type: "text" };
import organizations from "./samples/organizations.json";
import organizationsPolicy from "./samples/organizations.polar" with { type: "text" };
import sharing from "./samples/sharing.json";
import sharingPolicy from "./samples/sharing.polar" with { type: "text" };
import teams from "./samples/teams.json";
import teamsPolicy from "./samples/teams.polar" with { type: "text" };

export interface Sample {
  /** In the address. */
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly questions: readonly SampleQuestion[];
}

export interface SampleQuestion {
  readonly text: string;
  readonly draft: Draft;
  readonly answer: ShownAnswer;
}

export const samples: readonly Sample[] = [
  sampleOf("organizations", organizationsPolicy, organizations as SampleFile),
  sampleOf("folders", foldersPolicy, folders as SampleFile),
  sampleOf("teams", teamsPolicy, teams as SampleFile),
  sampleOf("sharing", sharingPolicy, sharing as SampleFile),
  sampleOf("invoices", invoicesPolicy, invoices as SampleFile),
];

/** As the files have it: facts are texts. */
interface SampleFile extends Pick<Sample, "title" | "summary"> {
  readonly facts: readonly string[];
  readonly questions: readonly {
    readonly text: string;
    readonly ask: Partial<Omit<Draft, "context">> & { readonly context?: readonly string[] };
    readonly answer: ShownAnswer;
  }[];
}

function sampleOf(name: string, policy: string, { title, summary, facts, questions }: SampleFile): Sample {
  return {
    ...{ name, title, summary, policy },
    facts: factsIn(facts),
    questions: questions.map(({ text, ask: { context = [], ...ask }, answer }) => ({
      ...{ text, answer },
      draft: { ...emptyDraft, ...ask, context: factsIn(context) },
    })),
  };
}

function factsIn(texts: readonly string[]): Fact[] {
  return texts.flatMap((text) => parseFact(text) ?? []);
}
