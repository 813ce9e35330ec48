import base from '../../jest.config.js';

/** Test files that take longer than 20 seconds on two cores: crowds, random faults, mutations, real waits, real tools. */
/** @type {import('jest').Config} */
export default {
  ...base,
  maxWorkers: 2, // crowds of 100 and 200 processes
  rootDir: '../..',
  testMatch: ['<rootDir>/tests/**/*.long.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
