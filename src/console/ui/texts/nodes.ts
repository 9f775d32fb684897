/** The texts about all nodes of an environment, in the overview. */

export const nodeTexts = {
  title: "All nodes",
  help: "Each node says this about itself when it is asked. A node that does not answer is as it was last known.",
  columns: {
    node: "Node",
    role: "Role",
    state: "State",
    position: "Offset",
    lag: "Lacks",
    age: "Data known to be the latest",
    brokers: "Brokers",
    version: "Version",
    seen: "Heard of",
  },
  own: (node: string) => `${node} (this node)`,
  lag: (events: number, formatted: string) => (events === 1 ? "1 event" : `${formatted} events`),
  nothingLacks: "nothing",
  ago: (duration: string) => `${duration} ago`,
  now: "now",
  gone: "does not answer",
  brokerDown: (broker: string) => `${broker} (not connected)`,
  problems: {
    noPrimary: {
      title: "No node is the primary",
      remedy: "Writes fail. Start the primary again, or promote an edge: ostiary promote.",
    },
    severalPrimaries: (nodes: string) => ({
      title: `Several nodes are primaries: ${nodes}`,
      remedy: "They have different histories, or one of them is being replaced. Stop the one that must not write.",
    }),
    notReady: (node: string) => ({
      title: `${node} cannot answer questions`,
      remedy: "Send clients to another node. The log of that node says what it waits for.",
    }),
    fenced: (node: string) => ({
      title: `${node} is a primary that accepts no writes`,
      remedy: "Another node was promoted, or it lost its lease. If another node is the primary, start it as an edge.",
    }),
    disconnected: (node: string) => ({
      title: `${node} does not reach the primary`,
      remedy: "Its answers get older. Check the network between the two, and the address in its setting primary.",
    }),
    diverged: (node: string) => ({
      title: `${node} replaces its database, which was damaged or different`,
      remedy: "It fetches a snapshot by itself. If this happens again, check its disk.",
    }),
    degraded: (node: string, reason: string) => ({
      title: `${node} should get no requests: ${reason}`,
      remedy: "Load balancers that check its /readyz have stopped sending requests to it.",
    }),
    silent: (node: string, duration: string) => ({
      title: `${node} was last heard of ${duration} ago`,
      remedy:
        "Start it again, or check the network between it and the primary. If it was removed, it leaves this list within an hour.",
    }),
    lag: (node: string, events: string) => ({
      title: `${node} lacks ${events} events`,
      remedy: "It is catching up. If the number grows, its disk or its network is too slow for the writes.",
    }),
    staleBroker: (node: string) => ({
      title: `No broker delivers events to ${node}`,
      remedy: "It polls the primary over HTTP, so changes arrive later. Check the brokers and its settings for them.",
    }),
    brokerDown: (node: string, broker: string) => ({
      title: `${node} is not connected to the broker ${broker}`,
      remedy: "Check that the broker runs, and its address, user name and certificate in the settings of that node.",
    }),
    versions: (versions: string) => ({
      title: `The nodes have different versions: ${versions}`,
      remedy: "They work together. Upgrade the older ones: first fallbacks and edges, the primary last.",
    }),
    nodeKeys: {
      title: "The nodes have different node keys",
      remedy:
        "They work together while each accepts the keys of the others: ostiary nodes shows them. Finish the rotation.",
    },
  },
} as const;
