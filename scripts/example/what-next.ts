/**
 * Suggested commands while the example runs, for bash, zsh and sh. Explanations are between the commands, because zsh
 * accepts no comments at a prompt.
 */
import { fallbackRefreshMs, type Appliance } from "./appliance.ts";

export function whatNext({ primary, edges, fallback, adminKey }: Appliance): string {
  const question = `'{"actor_type":"User","actor_id":"bob","action":"write","resource_type":"Repository","resource_id":"compiler","context_facts":[]}'`;
  const ban = `'[{"inserts":[{"predicate":"is_banned","args":[{"type":"User","id":"bob"}]}]}]'`;
  const refreshSeconds = fallbackRefreshMs / 1000;
  // A fallback has the age of its data in a header.
  const shown = `grep -i -e '^x-ostiary-snapshot-age-ms' -e '{'`;
  return `
The nodes run until you press Ctrl-C. Try these in another terminal, in this directory, with bash, zsh or sh:

  KEY=${adminKey}
  ask() { curl -si "$1/api/authorize" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d ${question} | ${shown}; }

Ask an edge whether bob can write to the repository compiler:

  ask ${edges[0].url}

Ban bob at the other edge, which forwards the write to the primary, and ask again:

  curl -s ${edges[1].url}/api/batch -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d ${ban}; echo
  ask ${edges[0].url}

Ask why:

  OSO_URL=${edges[0].url} OSO_AUTH=$KEY dist/ostiary explain User:bob write Repository:compiler

The web console of that edge is at ${edges[0].url}/console/ (log in with the key in the first line).

Print the metrics of a node:

  curl -s ${edges[0].url}/metrics -H "Authorization: Bearer $KEY"

Kill the primary with its broker. The edge still answers:

  kill -9 ${primary.pid}
  ask ${edges[0].url}

The fallback answers from its last snapshot, with the age of the snapshot in milliseconds:

  ask ${fallback.url}

Its answer may still allow the action: here it downloads a snapshot every ${refreshSeconds} s (\`refresh\`; 30 minutes by default),
so writes of the last ${refreshSeconds} s before the end of the primary may be missing. The age grows until a primary answers
again. With \`follow: true\` a fallback is only seconds behind the primary, and with \`maxStaleness\` it refuses
queries if its data are older.

All settings: dist/ostiary serve --help, or appliance/ostiary.yaml.`;
}
