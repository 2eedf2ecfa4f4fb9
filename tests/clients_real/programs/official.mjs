// The official SDKs of OpenAI and Anthropic, in Node.js.

import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { ADDING, NO_KEY, SPENT_KEY, NO_MODEL, failed, key, model, pieces, prompts, run, say, turns, url } from './checks.mjs'

const gpt = (apiKey = key) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })
const claude = (apiKey = key) => new Anthropic({ baseURL: url, apiKey, maxRetries: 0 })

const colour = {
  type: 'object',
  properties: { name: { type: 'string' } },
  required: ['name'],
  additionalProperties: false,
}

const chat = async (messages, more = {}, client = gpt()) => {
  const answer = await client.chat.completions.create({ model, messages, ...more })
  return answer.choices[0].message.content
}
const respond = async (input, more = {}, client = gpt()) =>
  (await client.responses.create({ model, input, ...more })).output_text
const message = async (messages, more = {}, client = claude()) => {
  const answer = await client.messages.create({ model, max_tokens: 500, messages, ...more })
  return answer.content.map((block) => block.text ?? '').join('')
}

const chatLoop = async (prompt) => {
  const messages = say(prompt)
  for (let calls = 0; ; ) {
    const tools = [{ type: 'function', function: { name: 'add', parameters: ADDING } }]
    const answer = await gpt().chat.completions.create({ model, messages, tools })
    const said = answer.choices[0].message
    if (!said.tool_calls) return [said.content, calls]
    messages.push(said)
    for (const call of said.tool_calls) {
      const { a, b } = JSON.parse(call.function.arguments)
      messages.push({ role: 'tool', tool_call_id: call.id, content: String(a + b) })
      calls += 1
    }
  }
}
const respondLoop = async (prompt) => {
  const input = say(prompt)
  for (let calls = 0; ; ) {
    const tools = [{ type: 'function', name: 'add', parameters: ADDING, strict: true }]
    const answer = await gpt().responses.create({ model, input, tools })
    const made = answer.output.filter((item) => item.type === 'function_call')
    if (made.length === 0) return [answer.output_text, calls]
    input.push(...answer.output)
    for (const call of made) {
      const { a, b } = JSON.parse(call.arguments)
      input.push({ type: 'function_call_output', call_id: call.call_id, output: String(a + b) })
      calls += 1
    }
  }
}
const messageLoop = async (prompt) => {
  const messages = say(prompt)
  for (let calls = 0; ; ) {
    const tools = [{ name: 'add', input_schema: ADDING }]
    const stream = claude().messages.stream({ model, max_tokens: 500, messages, tools })
    const said = (await stream.finalMessage()).content
    const made = said.filter((block) => block.type === 'tool_use')
    if (made.length === 0) return [said.map((block) => block.text).join(''), calls]
    calls += made.length
    const results = made.map(({ id, input }) => ({
      type: 'tool_result',
      tool_use_id: id,
      content: String(input.a + input.b),
    }))
    messages.push({ role: 'assistant', content: said }, { role: 'user', content: results })
  }
}

await run({
  'openai-node': {
    text: () => chat(say(prompts.text)),
    stream: async () =>
      pieces(
        await gpt().chat.completions.create({ model, messages: say(prompts.stream), stream: true }),
        (chunk) => chunk.choices[0].delta.content,
      ),
    schema: async () =>
      JSON.parse(
        await chat(say(prompts.schema), {
          response_format: { type: 'json_schema', json_schema: { name: 'colour', schema: colour, strict: true } },
        }),
      ),
    turns: () => chat(turns),
    forced: async () => {
      const tools = [{ type: 'function', function: { name: 'colour', parameters: colour } }]
      const answer = await gpt().chat.completions.create({
        model,
        messages: say(prompts.schema),
        tools,
        tool_choice: { type: 'function', function: { name: 'colour' } },
      })
      return JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments)
    },
    loop: () => chatLoop(prompts.loop),
    errors: () =>
      failed(
        () => chat(say('Hi'), { model: NO_MODEL }),
        () => chat(say('Hi'), {}, gpt(NO_KEY)),
        () => chat(say('Hi'), {}, gpt(SPENT_KEY)),
        () => chat(say('')),
      ),
  },
  'openai-node-responses': {
    text: async () => {
      const given = await gpt().responses.create({ model, input: prompts.text })
      return (await gpt().responses.retrieve(given.id)).output_text
    },
    stream: async () =>
      pieces(await gpt().responses.create({ model, input: prompts.stream, stream: true }), (event) =>
        event.type === 'response.output_text.delta' ? event.delta : '',
      ),
    schema: async () =>
      JSON.parse(
        await respond(prompts.schema, {
          text: { format: { type: 'json_schema', name: 'colour', schema: colour, strict: true } },
        }),
      ),
    turns: () => respond(turns),
    forced: async () => {
      const tools = [{ type: 'function', name: 'colour', parameters: colour, strict: true }]
      const tool_choice = { type: 'function', name: 'colour' }
      const answer = await gpt().responses.create({ model, input: prompts.schema, tools, tool_choice })
      return JSON.parse(answer.output.at(-1).arguments)
    },
    loop: () => respondLoop(prompts.loop),
    errors: () =>
      failed(
        () => respond('Hi', { model: NO_MODEL }),
        () => respond('Hi', {}, gpt(NO_KEY)),
        () => respond('Hi', {}, gpt(SPENT_KEY)),
        () => respond(''),
      ),
  },
  'anthropic-node': {
    text: () => message(say(prompts.text)),
    stream: () =>
      pieces(
        claude().messages.stream({ model, max_tokens: 500, messages: say(prompts.stream) }),
        (event) => (event.type === 'content_block_delta' ? event.delta.text : ''),
      ),
    schema: async () =>
      JSON.parse(
        await message(say(prompts.schema), { output_config: { format: { type: 'json_schema', schema: colour } } }),
      ),
    turns: () => message(turns),
    forced: async () => {
      const answer = await claude().messages.create({
        model,
        max_tokens: 500,
        messages: say(prompts.schema),
        tools: [{ name: 'colour', input_schema: colour }],
        tool_choice: { type: 'tool', name: 'colour' },
      })
      return answer.content.at(-1).input
    },
    loop: () => messageLoop(prompts.loop),
    errors: () =>
      failed(
        () => message(say('Hi'), { model: NO_MODEL }),
        () => message(say('Hi'), {}, claude(NO_KEY)),
        () => message(say('Hi'), {}, claude(SPENT_KEY)),
        () => message(say('')),
      ),
  },
})
