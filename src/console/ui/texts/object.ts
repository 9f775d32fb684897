/** The texts of the page of an object. */

export const objectTexts = {
  title: "Object",
  unknown: "The address names no object.",
  facts: "Facts that mention it",
  askWhat: (object: string) => `What can ${object} do?`,
  askWho: (object: string) => `Who can do something with ${object}?`,
  roles: {
    title: "Who has which role",
    help: "Stored roles, and those that follow from rules.",
    none: "Nobody has a role on it.",
    label: "Roles",
    actor: "Actor",
    roles: "Roles",
    all: (type: string) => `every ${type}`,
    more: (count: string) => `Show more (${count} actors in all)`,
  },
  graph: {
    title: "Relations",
    help: "Select an object to show its relations too. The arrow keys move between the objects, Enter expands one.",
    label: (objects: number, relations: number) => `Graph of ${objects} objects and ${relations} relations`,
    node: (object: string, state: string) => `${object}, ${state}`,
    expanded: "expanded",
    partly: (shown: number) => `expanded, the first ${shown} facts only`,
    collapsed: "not expanded",
    none: "No fact connects it to another object.",
    full: (max: number) => `The graph shows at most ${max} objects. Open the page of another object to continue there.`,
    text: "The relations as text",
    connects: (from: string, label: string, to: string) => `${from} – ${label} → ${to}`,
    selected: "Selected",
  },
} as const;
