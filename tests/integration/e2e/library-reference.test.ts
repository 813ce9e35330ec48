import { afterEach, expect, test } from '@jest/globals';
import { assertNothingLeft } from '../../support/run-cli.js';
import { execute, ROOT } from './installed-package.js';

afterEach(() => assertNothingLeft());

test('docs/library.md has the reference that typedoc makes of the docstrings', async () => {
  const { code, stderr } = await execute(['node', 'scripts/describe-library.mjs', '--check'], ROOT);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
}, 120_000);
