/** The texts of the overview, and of the problems that it shows first. */

export const overviewTexts = {
  title: "Overview",
  problems: "Problems",
  noProblems: "No problems found",
  noFreshAnswer: "No fresh answer",
  noFreshAnswerFor: (duration: string) => `for ${duration}`,
  problemCount: (count: number) => (count === 1 ? "1 problem" : `${count} problems`),
  thisNode: "This node",
  environments: "Environments",
  lastHour: "The last hour",
  lastHourHelp: "Recorded by this node, one sample every 5 s.",
  nothingYet: "No request since this node started.",
  defaultNode: "Health and position are those of the default environment.",
  facts: {
    node: "Name",
    role: "Role",
    state: "State",
    version: "Version",
    position: "Position",
    positionOf: (offset: string, term: string) => `offset ${offset}, term ${term}`,
    age: "Data last known to be the latest",
    ageOf: (duration: string) => `${duration} ago`,
    visible: "Last change visible after",
    brokers: "Brokers",
    connected: (broker: string) => `${broker}: connected`,
    disconnected: (broker: string) => `${broker}: not connected`,
    noBroker: "none",
    storedFacts: "Stored facts",
  },
  columns: { environment: "Environment", name: "Name", state: "State", role: "Role here", position: "Position" },
  environmentStates: {
    ready: "ready",
    notReady: "not ready",
    notHere: "not on this node",
    deleted: "deleted, can be restored until",
  },
  states: {
    PRIMARY: "accepts writes",
    FENCED: "accepts no writes any more",
    BOOTSTRAP: "downloads its first snapshot",
    CATCHUP: "fetches missed events over HTTP",
    LIVE: "gets events from a broker",
    FOLLOWING: "gets events from the primary over HTTP",
    STALE_FEED: "gets events from the primary over HTTP, because no broker delivers any",
    DISCONNECTED: "does not reach the primary",
    DIVERGED: "replaces its damaged database",
    SNAPSHOT: "answers from a snapshot",
  } as Readonly<Record<string, string>>,
  charts: {
    decisions: "Decisions per second",
    latency: "Duration of decisions",
    allowed: "Share of allowed decisions",
    cache: "Share of decisions from the cache",
    visible: "Commit on the primary to visible here",
    errors: "Failed requests per second",
    rate: "per second",
    share: "share",
    p50: "p50",
    p99: "p99",
  },
} as const;

export const problemTexts = {
  notReady: {
    title: "This node cannot answer questions",
    remedy: "Send clients to another node. The log of this node says what it waits for.",
  },
  degraded: (reason: string) => ({
    title: `Clients should ask another node: ${reason}`,
    remedy: "Load balancers that check /readyz have stopped sending requests here.",
  }),
  fenced: {
    title: "This primary accepts no writes",
    remedy:
      "Another node was promoted, or it lost its lease. Its log says which. If another node is the primary, start this one as an edge.",
  },
  disconnected: {
    title: "This node does not reach the primary",
    remedy:
      "Its answers get older. Check that the primary runs and that the network lets this node through; if the primary is lost, promote an edge.",
  },
  staleBroker: {
    title: "No broker delivers events",
    remedy: "The node polls the primary over HTTP, so changes arrive later. Check the brokers and their addresses.",
  },
  diverged: {
    title: "The database of this node was damaged or different",
    remedy: "The node replaces it with a snapshot by itself. If this happens again, check its disk.",
  },
  brokerDown: (broker: string) => ({
    title: `The broker ${broker} is not connected`,
    remedy: "Check that it runs, and its address, user name and certificate in the settings of this node.",
  }),
  voted: (node: string) => ({
    title: `This node voted for ${node} as the next primary`,
    remedy: "It accepts no writes until the promotion is complete. If it was given up, promote a node again.",
  }),
  unreplicated: (count: number) => ({
    title: `${count} events of this node are not part of the primary's history`,
    remedy: "They were written here before another node was promoted. Write them again at the primary.",
  }),
  foreignHistory: {
    title: "Another node has another history",
    remedy:
      "Neither node replicates the other. Decide which history is right: ostiary adopt-history or abandon-history, on the command line of the wrong one.",
  },
  disk: {
    title: "This node cannot write to its disk",
    remedy: "It answers questions, and refuses writes. Free space, or replace the disk.",
  },
  environmentFailed: (environment: string, reason: string) => ({
    title: `The environment ${environment} does not start on this node: ${reason}`,
    remedy: "The node tries again. Until then other nodes answer for it.",
  }),
  errors: (perSecond: string) => ({
    title: `Requests fail: ${perSecond} per second with a status of 500 or more`,
    remedy: "The log of this node has the reason of each.",
  }),
} as const;
