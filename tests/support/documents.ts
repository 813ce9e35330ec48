import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The documents for users and contributors. */
export const DOCUMENTS = [
  ...['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md'],
  ...readdirSync(`${ROOT}/docs`).map((name) => `docs/${name}`),
].sort();

/** Comments above a code block that say how to run its commands (documents.long.test.ts), or who writes it (screens.long.test.ts). */
const MARKS = ['not run', 'exit', 'after', 'while', 'screen'] as const;
type Mark = (typeof MARKS)[number];

export interface Block {
  /** `docs/cli.md:12` */
  place: string;
  language: string;
  text: string;
  marks: Partial<Record<Mark, string>>;
}

export function readDocument(path: string): string {
  return readFileSync(`${ROOT}/${path}`, 'utf8');
}

/** The fenced code blocks of a document. */
export function blocksOf(path: string): Block[] {
  const blocks: Block[] = [];
  const lines = readDocument(path).split('\n');
  for (let at = 0; at < lines.length; at++) {
    const [, language] = /^ *```(\w*)$/.exec(lines[at] ?? '') ?? [];
    if (language === undefined) continue;
    const end = lines.findIndex((line, index) => index > at && /^ *```$/.test(line));
    const text = lines.slice(at + 1, end).join('\n');
    blocks.push({ place: `${path}:${at + 1}`, language, text, marks: marksAbove(lines, at) });
    at = end;
  }
  return blocks;
}

export function allBlocks(...languages: string[]): Block[] {
  return DOCUMENTS.flatMap(blocksOf).filter(({ language }) => languages.includes(language));
}

/** Writes another text into a code block. Lines above it may have changed since it was read. */
export function replaceBlock({ place, text }: Block, replacement: string): void {
  const [path = ''] = place.split(':');
  const fenced = (content: string): string => `\n${content}\n\`\`\`\n`;
  const parts = readDocument(path).split(fenced(text));
  if (parts.length !== 2) throw new Error(`${place}: the block is there ${parts.length - 1} times`);
  writeFileSync(`${ROOT}/${path}`, parts.join(fenced(replacement)));
}

/** The document without its code blocks. */
export function proseOf(path: string): string {
  return readDocument(path).replace(/^ *```\w*\n[\s\S]*?^ *```$/gm, '');
}

/** The rows of the document's only table with this head. */
export function tableOf(path: string, ...head: string[]): string[][] {
  const lines = readDocument(path).split('\n');
  const found = lines.flatMap((line, at) =>
    cells(line).join('|') === head.join('|') ? [lines.slice(at + 2)] : [],
  );
  const [rows, ...more] = found;
  if (rows === undefined || more.length > 0) {
    throw new Error(`${path} has ${found.length} tables with the head ${head.join(' | ')}`);
  }
  const end = rows.findIndex((line) => cells(line).length === 0);
  return rows.slice(0, end < 0 ? undefined : end).map(cells);
}

/** The text without code marks. */
export const plain = (cell: string) => cell.replaceAll('`', '');

function cells(line: string): string[] {
  if (!/^ *\|/.test(line)) return [];
  const parts = line.split(/(?<!\\)\|/).slice(1, -1);
  return parts.map((part) => part.trim().replaceAll('\\|', '|'));
}

function marksAbove(lines: string[], at: number): Block['marks'] {
  const marks: Block['marks'] = {};
  for (let above = at - 1; ; above--) {
    const [, name, value] = /^<!-- ([a-z ]+): (.+) -->$/.exec(lines[above] ?? '') ?? [];
    if (name === undefined) return marks;
    const mark = MARKS.find((known) => known === name);
    if (mark === undefined) throw new Error(`a mark that no test knows: ${lines[above]}`);
    marks[mark] = value ?? '';
  }
}
