/** The texts of questions that are shared with the policy and the facts behind them. */

export const shareTexts = {
  share: "Share with policy and facts …",
  shareTitle: "Share this question with what is behind it?",
  shareHelp:
    "Everybody who gets the link or the file can read all of this. Ids are personal data if they stand for people. No key is in it, and the link sends nothing to any node: it is all behind #.",
  whichFacts: "Facts",
  factsOfAnswer: (count: number) => `The facts on which the answer depends (${count})`,
  allFacts: (count: number) => `All facts (${count})`,
  tooManyFacts: (max: number) => `More than ${max} facts: they cannot all be shared.`,
  contents: "What will be shared",
  make: "Make the link and the file",
  link: "Link with policy and facts",
  linkHelp: "On another node, put the part from # on behind the address of its console.",
  linkTooLong: "This is too large for a link. Save the file.",
  save: "Save the file",
  fileName: "question.ostiary.json",

  openTitle: "Shared question",
  openIntroduction:
    "Open a question that somebody has shared with its policy and facts. It is shown as text, and loaded into an environment of its own only when you say so.",
  choose: "File",
  chooseHelp: "A file .ostiary.json. You can also drop it here.",
  pasted: "Link",
  pastedHelp: "A link that has #/open/ in it.",
  show: "Show",
  question: "Question",
  expected: "Answer of the node that shared it",
  context: "Context facts",
  policy: "Policy",
  facts: (count: number) => `Facts (${count})`,
  openIt: "Open it",
  throwAway: "Open in a throw-away environment",
  throwAwayHelp:
    "This creates an empty environment, loads the policy and the facts there, switches this tab to it, and asks the question. Nothing of the other environments changes.",
  create: (environment: string) => `Create the environment ${environment} for it`,
  createHelp:
    "This node has no throw-away environments, but others beside its own. The new one stays until you delete it, with the button at the top of the page.",
  cannot:
    "It is never loaded into the environment that you use. Run `ostiary dev` on your machine, open the link that it prints, and open the file or the link there.",
  opening: "Opening …",
  allowed: "Allowed",
  denied: "Denied",
  none: "No results",

  problems: {
    noQuestion: "This is no shared question of Ostiary.",
    tooLarge: "This shared question is larger than 1 MiB.",
    version: (version: string) => `This shared question has the version ${version}, and this node reads version 1.`,
    invalid: (name: string) => `The shared question has an invalid member: ${name}.`,
  },
} as const;
