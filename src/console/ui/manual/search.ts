/**
 * The search of the manual. A section is found if it has all words. Words in titles count most, then those in headings,
 * then those in the text, by BM25; whole words count more than beginnings of words, and those more than other parts. Pure.
 */
import type { ManualPage, Section } from "./pages.ts";

export interface Found {
  readonly section: Section;
  readonly excerpt: readonly ExcerptPart[];
}

/** A part of the text of a section. */
export interface ExcerptPart {
  readonly text: string;
  readonly isHit: boolean;
}

interface Indexed {
  readonly section: Section;
  /** Of the page. */
  readonly title: readonly string[];
  readonly heading: readonly string[];
  /** The words of the text, and how often they are there. */
  readonly counts: ReadonlyMap<string, number>;
  readonly length: number;
}

const foundMax = 30;
const excerptLength = 180;
const excerptBefore = 40;

const weights = { title: 8, heading: 4, pageTitle: 0.5 } as const;
/** What a word counts that contains the wanted one. */
const qualities = { whole: 1, start: 0.6, inside: 0.2 } as const;
/** The constants of BM25. */
const [saturation, lengthShare] = [1.2, 0.75];

const word = /[\p{L}\p{N}_]+/gu;

const indexes = new WeakMap<readonly ManualPage[], readonly Indexed[]>();

/** The sections with all words, the best first. */
export function search(pages: readonly ManualPage[], words: string): readonly Found[] {
  const wanted = [...new Set(wordsOf(words))];
  if (wanted.length === 0) return [];
  const index = indexOf(pages);
  const lengthMean = index.reduce((sum, { length }) => sum + length, 0) / index.length;
  const scores = index.map(() => 0);
  let found = index.map((entry, place) => ({ entry, place }));
  for (const term of wanted) {
    const matches = found.flatMap(({ entry, place }) => {
      const strength = strengthOf(entry, term, lengthMean);
      return strength > 0 ? [{ entry, place, strength }] : [];
    });
    // What few sections have says more.
    const rarity = Math.log(1 + index.length / (matches.length + 1));
    for (const { place, strength } of matches) scores[place] = (scores[place] ?? 0) + rarity * strength;
    found = matches;
  }
  const scoreOf = ({ place }: { readonly place: number }): number => scores[place] ?? 0;
  return found
    .toSorted((a, b) => scoreOf(b) - scoreOf(a))
    .slice(0, foundMax)
    .map(({ entry: { section } }) => ({ section, excerpt: excerptOf(section.text, wanted) }));
}

function indexOf(pages: readonly ManualPage[]): readonly Indexed[] {
  return indexes.getOrInsertComputed(pages, () =>
    pages.flatMap(({ title, sections }) => {
      const titleWords = wordsOf(title);
      return sections.map((section) => {
        const words = wordsOf(section.text);
        const counts = new Map<string, number>();
        for (const each of words) counts.set(each, (counts.get(each) ?? 0) + 1);
        return { section, title: titleWords, heading: wordsOf(section.heading), counts, length: words.length };
      });
    }),
  );
}

/** How much a section is about a word; 0 if it does not have it. */
function strengthOf({ section, title, heading, counts, length }: Indexed, term: string, lengthMean: number): number {
  let count = 0;
  for (const [each, times] of counts) count += times * qualityOf(each, term);
  const text =
    (count * (saturation + 1)) / (count + saturation * (1 - lengthShare + (lengthShare * length) / lengthMean));
  // The first section of a page has its title as the heading.
  const own = section.anchor === "" ? weights.title : weights.heading;
  return text + own * shareOf(heading, term) + weights.pageTitle * shareOf(title, term);
}

/** The quality of the word in a heading that matches best, a little more in a short one. */
function shareOf(words: readonly string[], term: string): number {
  const best = Math.max(0, ...words.map((each) => qualityOf(each, term)));
  return best * (0.7 + 0.3 / Math.max(1, words.length));
}

function qualityOf(text: string, term: string): number {
  if (text === term) return qualities.whole;
  if (text.startsWith(term)) return qualities.start;
  return text.includes(term) ? qualities.inside : 0;
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(word) ?? [];
}

/** The part of the text with the most of the words, without cut words. */
function excerptOf(text: string, wanted: readonly string[]): readonly ExcerptPart[] {
  const plain = text.replaceAll(/\s+/g, " ").trim();
  const places = [...plain.matchAll(word)].map(({ 0: found, index }) => {
    const lower = found.toLowerCase();
    return { start: index, end: index + found.length, term: wanted.find((term) => lower.includes(term)) };
  });
  const hits = places.filter(({ term }) => term !== undefined);
  const hitsFrom = (start: number) =>
    hits.filter((hit) => hit.start >= start && hit.end <= start + excerptLength - excerptBefore);
  let [from, most] = [0, 0];
  for (const { start } of hits) {
    const different = new Set(hitsFrom(start).map(({ term }) => term)).size;
    if (different > most) [from, most] = [start, different];
  }
  const start = places.find((place) => place.start >= from - excerptBefore)?.start ?? 0;
  const last = places.findLast(({ end }) => end <= start + excerptLength)?.end ?? plain.length;
  const isToTheEnd = plain.length - last <= 2;
  const end = isToTheEnd ? plain.length : last;
  const begin = start === places[0]?.start ? 0 : start;
  const parts: ExcerptPart[] = [];
  const add = (part: string, isHit: boolean): void => {
    if (part !== "") parts.push({ text: part, isHit });
  };
  let shown = begin;
  if (begin > 0) add("… ", false);
  for (const hit of hits) {
    if (hit.start < begin || hit.end > end) continue;
    add(plain.slice(shown, hit.start), false);
    add(plain.slice(hit.start, hit.end), true);
    shown = hit.end;
  }
  add(plain.slice(shown, end), false);
  if (!isToTheEnd) add(" …", false);
  return parts;
}
