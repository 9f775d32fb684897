/** What to try while the example runs. Each command works in bash, zsh and sh; explanations stand between them, since zsh takes no comments from a prompt. */
import { fallbackRefreshMs, type Appliance } from "./appliance.ts";

export function whatNext({ primary, edges, fallback, adminKey }: Appliance): string {
  const question = `'{"actor_type":"User","actor_id":"bob","action":"write","resource_type":"Repository","resource_id":"compiler","context_facts":[]}'`;
  const ban = `'[{"inserts":[{"predicate":"is_banned","args":[{"type":"User","id":"bob"}]}]}]'`;
  const refreshSeconds = fallbackRefreshMs / 1000;
  // A fallback says with a header how old its copy is.
  const shown = `grep -i -e '^x-ostiary-snapshot-age-ms' -e '{'`;
  return `
The nodes run until you press Ctrl-C. Try these in another terminal, in this directory, with bash, zsh or sh:

  KEY=${adminKey}
  ask() { curl -si "$1/api/authorize" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d ${question} | ${shown}; }

Ask an edge whether bob may write to the repository compiler:

  ask ${edges[0].url}

Ban bob at the other edge, which sends the write to the primary, and ask again:

  curl -s ${edges[1].url}/api/batch -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d ${ban}; echo
  ask ${edges[0].url}

Ask why:

  OSO_URL=${edges[0].url} OSO_AUTH=$KEY dist/ostiary explain User:bob write Repository:compiler

See the metrics of a node:

  curl -s ${edges[0].url}/metrics -H "Authorization: Bearer $KEY"

End the primary, and with it the broker. The edge still answers:

  kill -9 ${primary.pid}
  ask ${edges[0].url}

So does the fallback, from its last snapshot, and says how old that is in milliseconds:

  ask ${fallback.url}

Its answer may still allow what the ban forbids: it fetches a snapshot every ${refreshSeconds} s here (\`refresh\`; 30 minutes by default), so a write of the last
${refreshSeconds} s or so before the primary ended may be missing. The age grows until a primary answers again. With \`follow: true\` a fallback is only seconds
behind the primary, and with \`maxStaleness\` it refuses to answer from an older copy.

All settings: dist/ostiary serve --help, or appliance/ostiary.yaml.`;
}
