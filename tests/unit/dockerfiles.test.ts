/** packaging/Dockerfile and the Dockerfiles of the documents, which no container engine builds here, are at least read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { allBlocks, ROOT } from '../support/documents.js';

const IMAGE = readFileSync(join(ROOT, 'packaging', 'Dockerfile'), 'utf8');
const DOCUMENTED = allBlocks('dockerfile');

/** Of the last stage: keyword and arguments. */
function lastStage(text: string): [keyword: string, ...words: string[]][] {
  const all = DockerfileParser.parse(text)
    .getInstructions()
    .map((instruction): [string, ...string[]] => [
      instruction.getKeyword(),
      ...instruction.getArguments().map(String),
    ]);
  return all.slice(all.findLastIndex(([keyword]) => keyword === 'FROM'));
}

const problemsOf = (text: string) => validate(text).map(({ message }) => message);

describe('packaging/Dockerfile', () => {
  test('is a Dockerfile', () => {
    expect(problemsOf(IMAGE)).toEqual([]);
    expect(problemsOf(IMAGE.replace('ENTRYPOINT', 'ENTRPOINT'))).not.toEqual([]);
  });

  test('its last stage has the executable alone, and starts it as another user than root', () => {
    const stage = lastStage(IMAGE);
    expect(stage.map(([keyword]) => keyword)).toEqual(['FROM', 'COPY', 'USER', 'ENTRYPOINT']);
    expect(stage[0]?.[1]).toMatch(/^gcr\.io\/distroless\/cc/);
    expect(stage[1]?.at(-1)).toBe('/usr/local/bin/migrate-lock');
    expect(stage[2]?.[1]).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(JSON.parse(stage[3]?.[1] ?? '')).toEqual(['migrate-lock']);
  });
});

describe('the Dockerfiles of the documents', () => {
  test('are there', () => expect(DOCUMENTED.length).toBeGreaterThan(3));

  test.each(DOCUMENTED)('$place', ({ text }) => {
    expect(problemsOf(text)).toEqual([]);
    const isMusl = text.includes('-alpine');
    expect(text.includes('COPY --from=migrate-lock /usr/local/bin/migrate-lock /usr/local/bin/')).toBe(
      !isMusl,
    );
    // Without a shell around it, so that signals reach it and it works where there is none.
    for (const [keyword, form = ''] of lastStage(text)) {
      if (keyword === 'CMD' || keyword === 'ENTRYPOINT') expect(form).toMatch(/^\[/);
    }
  });
});
