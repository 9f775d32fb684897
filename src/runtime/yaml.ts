/** YAML both ways, as the runtime does it. */

/** Throws an error whose message says what is wrong, and where known on which line. */
export function parseYaml(text: string): unknown {
  return Bun.YAML.parse(text);
}

export function formatYaml(value: unknown): string {
  const text = Bun.YAML.stringify(value, null, 2);
  return text.endsWith("\n") ? text : `${text}\n`;
}
