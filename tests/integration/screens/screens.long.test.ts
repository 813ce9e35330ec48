/**
 * What the program shows in the documents, made by the program. A comment above a code block names its screen:
 * <!-- screen: name -->. `npm run screens` writes all of them.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { allBlocks, replaceBlock } from '../../support/documents.js';
import { withFixedValues } from './fixed-values.js';
import { SCREENS } from './screens.js';
import { Stage } from './stage.js';
import { hasTerminals } from './terminal.js';

/** Older servers show less. */
const SHOWN_VERSION = 18;
const isWriting = process.env.WRITE_SCREENS === '1';
const shown = allBlocks('console', 'text', 'json').filter(({ marks }) => marks.screen !== undefined);

// A slow machine shows less: a look at the sessions is given up after 500 ms.
jest.retryTimes(1, { logErrorsBeforeRetry: true });

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
  if (stage.majorVersion < SHOWN_VERSION)
    console.warn(
      `PostgreSQL ${stage.majorVersion}: no screen is compared, the documents show ${SHOWN_VERSION}`,
    );
});
afterAll(() => stage.close());

test('every screen is shown once, and every block that shows what the program prints is a screen', () => {
  expect(shown.map(({ marks }) => marks.screen).sort()).toEqual(Object.keys(SCREENS).sort());
  const typed = allBlocks('console', 'text', 'json').filter(
    ({ language, text, marks }) =>
      marks.screen === undefined &&
      (language !== 'text' || /^(migrate-lock: |ok {4}|warn {2}|fail {2})/m.test(text)),
  );
  expect(typed.map(({ place }) => place)).toEqual([]);
});

describe.each(shown.map((block) => ({ name: block.marks.screen ?? '', ...block })))(
  '$name',
  ({ name, ...block }) => {
    beforeEach(() => stage.set());
    afterEach(() => stage.clear());

    const isPossible = name !== 'waiting-line' || hasTerminals;
    (isPossible ? test : test.skip)('is what the program shows', async () => {
      if (stage.majorVersion < SHOWN_VERSION) return;
      const make = SCREENS[name];
      if (make === undefined) throw new Error(`there is no screen ${name}`);
      const screen = withFixedValues(await make(stage)).trimEnd();
      if (isWriting) replaceBlock(block, screen);
      else expect(block.text).toBe(screen);
    });
  },
);
