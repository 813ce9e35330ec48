/** Words that stay out of the documents, the sources and the titles of tests, each with a plain replacement. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ROOT } from '../support/documents.js';

const WORDS: readonly [word: RegExp, replacement: string][] = [
  [/\bnobody\b/i, 'no other run, no process, no role, or the passive'],
  [/\bsomebody\b/i, 'another run, another role, another process'],
  [/\banybody\b/i, 'any user, any role'],
  [/\b(whoever|whomever)\b/i, 'the run that, the role that'],
  [/\banew\b/i, 'again'],
  [/\bat work\b/i, 'running'],
  [/\btells? of\b/i, 'reports'],
  [/\b(is|are) told of\b/i, 'is notified of, gets'],
  [/\b(lease|wait|run|recovery) is over\b/i, 'has ended'],
  [/\blook(s|ed|ing)? (at|for|again)\b/i, 'read, check or search'],
  [/\b(is|are) told\b/i, 'gets, sees'],
  [/\bsees? to (it|an?|the)\b/i, 'what is done'],
  [/\bmend(s|ed)?\b/i, 'repair'],
  [/\bmeans? harm\b/i, 'is malicious'],
];
/** Generated from sql/. */
const GENERATED = 'src/generated/';

const filesIn = (folder: string, ending: RegExp): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => ending.test(path) && !path.startsWith(GENERATED));
const TEXTS = [
  ...['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md'],
  ...filesIn('docs', /\.md$/),
  ...filesIn('src', /\.(ts|json|sh)$/),
  ...filesIn('sql', /\.sql$/),
];
const TITLE = /\b(?:describe|test|it)(?:\.\w+)*(?:\([^()]*\))?\(\s*(["'`])((?:(?!\1).)+)\1/g;

function found(text: string): string[] {
  return WORDS.flatMap(([word, replacement]) => {
    const [use] = word.exec(text) ?? [];
    return use === undefined ? [] : [`"${use}": write ${replacement}`];
  });
}

describe('plain words', () => {
  test.each(TEXTS)('%s uses them', (path) => {
    expect(found(readFileSync(join(ROOT, path), 'utf8'))).toEqual([]);
  });

  test('the titles of tests use them', () => {
    const titles = filesIn('tests', /\.test\.ts$/).flatMap((path) =>
      [...readFileSync(join(ROOT, path), 'utf8').matchAll(TITLE)].map(([, , title = '']) => title),
    );
    expect(titles.length).toBeGreaterThan(500);
    expect(titles.flatMap((title) => found(title).map((use) => `${title}: ${use}`))).toEqual([]);
  });
});
