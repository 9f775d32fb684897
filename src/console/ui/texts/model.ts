/** The texts of the screen Model. */

const kinds = { type: "type", role: "role", permission: "permission", relation: "relation" } as const;
type Kind = keyof typeof kinds;

export const modelTexts = {
  title: "Model",
  help: "The types of the policy, and what implies what. Select a role or a permission to see everything that leads to it. The arrow keys move between the names.",
  none: "There is no policy yet.",
  drawing: "Model of the policy, as a graph",
  label: (types: number, names: number) => `${types} types with ${names} roles, permissions and relations`,
  permissions: "Permissions",
  zoomIn: "Larger",
  zoomOut: "Smaller",
  kinds,
  kindOfType: { actor: "actor", resource: "resource", global: "the whole system" },
  node: (name: string, kind: Kind, type: string) => (kind === "type" ? `${name}, type` : `${name}, ${kind} of ${type}`),
  on: (relation: string) => `on ${relation}`,
  extends: "extends",
  selected: "Selected",
  line: (file: string, line: number) => (file === "" ? `line ${line}` : `${file}, line ${line}`),
  grants: (name: string) => `What grants ${name}`,
  grantsNothing: "No rule about this type gives it.",
  by: (from: string, through: string | null) => (through === null ? from : `${from} on ${through}`),
  byRule: "a rule without roles or permissions",
  name: (name: string, type: string) => `${name} of ${type}`,
  conditional: "with other conditions",
  table: "The model as a table",
  tableLabel: "Rules of the model",
  typesLabel: "Types of the model",
  columns: {
    from: "Who has",
    to: "has",
    rule: "Rule",
    type: "Type",
    kind: "Kind",
    names: "Roles, permissions, relations",
  },
} as const;
