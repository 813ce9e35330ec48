import base from '../../jest.config.js';

/** Real migration tools, which install.mjs has installed. */
/** @type {import('jest').Config} */
export default {
  ...base,
  maxWorkers: 1, // Five starts of a tool at once keep two cores busy.
  rootDir: '../..',
  testMatch: ['<rootDir>/tests/tools/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
