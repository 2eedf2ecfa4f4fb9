// The Vercel AI SDK: OpenAI's Responses, which it asks by default, Chat Completions, and Messages.

import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { Output, generateText, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'
import { NO_KEY, SPENT_KEY, NO_MODEL, failed, key, model as known, pieces, prompts, run, turns, url } from './checks.mjs'

const openai = (apiKey) => createOpenAI({ baseURL: `${url}/v1`, apiKey })
const anthropic = (apiKey) => createAnthropic({ baseURL: `${url}/v1`, apiKey })

const ask = async (model, prompt) => (await generateText({ model, prompt, maxRetries: 0 })).text

const loop = async (model, prompt) => {
  let calls = 0
  const add = tool({
    description: 'Add two numbers.',
    inputSchema: z.object({ a: z.number(), b: z.number() }),
    execute: async ({ a, b }) => {
      calls += 1
      return a + b
    },
  })
  const stopWhen = stepCountIs(5)
  const answer = await generateText({ model, prompt, tools: { add }, stopWhen, maxRetries: 0 })
  return [answer.text, calls]
}

const checks = (made) => {
  const model = made(known, key)
  return {
    text: () => ask(model, prompts.text),
    stream: () => pieces(streamText({ model, prompt: prompts.stream, maxRetries: 0 }).textStream),
    schema: async () => {
      const output = Output.object({ schema: z.object({ name: z.string() }) })
      return (await generateText({ model, prompt: prompts.schema, output, maxRetries: 0 })).output
    },
    turns: async () => (await generateText({ model, messages: turns, maxRetries: 0 })).text,
    forced: async () => {
      const colour = tool({ inputSchema: z.object({ name: z.string() }) })
      const asked = { model, prompt: prompts.schema, tools: { colour }, toolChoice: 'required' }
      return (await generateText({ ...asked, maxRetries: 0 })).toolCalls[0].input
    },
    loop: () => loop(model, prompts.loop),
    errors: () =>
      failed(
        () => ask(made(NO_MODEL, key), 'Hi'),
        () => ask(made(known, NO_KEY), 'Hi'),
        () => ask(made(known, SPENT_KEY), 'Hi'),
        () => ask(model, ' '),
      ),
  }
}

await run({
  'vercel-responses': checks((name, apiKey) => openai(apiKey)(name)),
  'vercel-chat': checks((name, apiKey) => openai(apiKey).chat(name)),
  'vercel-anthropic': checks((name, apiKey) => anthropic(apiKey)(name)),
})
