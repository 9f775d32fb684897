/** The texts of reasons for people. Each pair is a fact from its first object to its last one, and the other way round. */
export const reasonTexts = {
  byRole: (role: string): readonly [string, string] => [`has the role ${role} on`, `where the role ${role} is held by`],
  byRelation: (name: string): readonly [string, string] => [`whose ${name} is`, `which is the ${name} of`],
  byFact: (name: string): readonly [string, string] => [`is in the fact ${name} with`, `is in the fact ${name} with`],

  allowed: "Allowed",
  denied: "Denied",
  may: (actor: string, action: string, resource: string) => `${actor} may ${action} ${resource}.`,
  mayNot: (actor: string, action: string, resource: string) => `${actor} may not ${action} ${resource}.`,
  because: (actor: string, way: string) => `The reason: ${actor} ${way}.`,
  becauseFacts: (facts: string) => `The reason: ${facts}.`,
  noFacts: "A rule allows it without any fact.",
  cut: "Its facts were left out within the limits of explanations.",
  roleOn: (role: string, resource: string) => `${role} on ${resource}`,
  and: (count: number) => (count === 1 ? "One more condition holds." : `${count} more conditions hold.`),
  wouldBe: (fact: string) => `It would be allowed with ${fact}.`,
  excluded: (fact: string) => `The nearest rule excludes it, because this holds: ${fact}.`,
  lacks: "None of the facts that were tried would be enough alone; the nearest attempts are below.",
  trying: "Looking for what is missing …",
  way: "The way from the actor to the resource",
} as const;
