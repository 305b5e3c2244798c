-- A Wireshark dissector for the Chat Fusion Protocol (RFC 9207): every packet, and links between servers.
--
--   tshark -X lua_script:scripts/cfp.lua -r capture.pcapng              (or scripts/dissect.sh, or Wireshark with the
--   tshark -X lua_script:scripts/cfp.lua -o chatfusion.ports:7777,7800 … file in its folder of personal Lua plugins)
--
-- Made for Wireshark 4.0 and later. A packet says what it is in the Info column, and has fields to filter by:
--
--   cfp.message contains "hello"       cfp.code == 0x41 && cfp.receiver == "bob"       cfp.error       _ws.expert
--
-- A packet has no overall length: its layout is walked field by field, as the server does. What the server ignores is
-- skipped here in the same way, so that the dissector stays in step with the stream. An unknown code is one byte. A
-- packet with an over-long field is skipped to its end without being collected, whatever length it announces. So
-- "Longest message" in the preferences has to be the servers' --max-message.
--
-- Between routed servers (--routed), say -o chatfusion.routed:TRUE. Elsewhere the codes 0x51 to 0x54 are unknown.
--
-- If segments came out of order, switch on "Reassemble out-of-order segments" in the preferences of TCP.

-- Wireshark's own protocol "cfp" is Cisco's FabricPath. Its fields have other names than ours.
local cfp = Proto("chatfusion", "Chat Fusion Protocol")

cfp.prefs.ports = Pref.range("TCP ports", "7777", "Ports that servers listen on", 65535)
cfp.prefs.max_message = Pref.uint("Longest message", 65536, "In bytes; a longer one is skipped, as servers do")
cfp.prefs.routed = Pref.bool("Routed servers", false, "The servers are started with --routed")
-- Off unless asked for: the first packet of a guest is little more than four zero bytes and a name.
cfp.prefs.heuristic = Pref.bool("Recognize on any port", false, "By a first packet that logs in or asks to merge")

---- Limits ------------------------------------------------------------------------------------------------------------
local NICKNAME_MAX_BYTES, PASSWORD_MAX_BYTES, FILE_NAME_MAX_BYTES, CHUNK_BYTES = 64, 1024, 255, 1024
-- A merge packet with more than so many descriptions is declined unread.
local DESCRIPTION_BYTES, DESCRIPTIONS_MAX, ROUTED_DESCRIPTIONS_MAX = 12, 10, 65
-- A routed server's own links.
local LINK_BYTES, LINKS_MAX = 8, 16
-- Of one text in the Info column, and of all that one frame says there.
local INFO_TEXT_MAX_BYTES = 80
local INFO_MAX_BYTES = 400

---- Fields ------------------------------------------------------------------------------------------------------------
local NAMES = {
    [0x00] = "AUTHGST", [0x01] = "AUTHUSR", [0x10] = "AUTHRSP", [0x20] = "MSGPBL", [0x21] = "MSGPRV",
    [0x30] = "MSGPBLINC", [0x31] = "MSGPRVINC", [0x32] = "PCKFWD", [0x40] = "FILECHNK", [0x41] = "FILECHNKINC",
    [0x50] = "PCKFWD", [0x51] = "RELAY", [0x52] = "LINKS", [0x53] = "HOLD", [0x54] = "HELLO",
    [0xA0] = "MRGREQ", [0xA1] = "MRGRSP", [0xA2] = "MRGDECL", [0xF0] = "ERROR",
}
local RESPONSES = {
    [0] = "accepted", [1] = "nickname belongs to a registered user", [2] = "wrong nickname or password",
    [3] = "nickname in use",
}
local DECLINES = { [0] = "already merged", [1] = "server limit", [2] = "server id conflict" }
local ERRORS = { [0] = "destination server unknown or not connected", [1] = "receiver unknown or not connected" }

local HOLDS = { [0] = "go on", [1] = "wait" }

local fields = {
    code = ProtoField.uint8("cfp.code", "Code", base.HEX, NAMES),
    nickname = ProtoField.string("cfp.nickname", "Nickname"),
    password = ProtoField.string("cfp.password", "Password"),
    response = ProtoField.uint8("cfp.response", "Response", base.DEC, RESPONSES),
    message = ProtoField.string("cfp.message", "Message"),
    destination = ProtoField.uint32("cfp.destination", "Destination server"),
    origin = ProtoField.uint32("cfp.origin", "Origin server"),
    server = ProtoField.uint32("cfp.server", "Sender's server ID"),
    sender = ProtoField.string("cfp.sender", "Sender"),
    receiver = ProtoField.string("cfp.receiver", "Receiver"),
    transfer = ProtoField.uint32("cfp.transfer", "Transfer ID"),
    file_name = ProtoField.string("cfp.file_name", "File name"),
    chunks = ProtoField.uint32("cfp.chunks", "Chunks of the whole transfer"),
    content = ProtoField.bytes("cfp.content", "Content"),
    siblings = ProtoField.uint32("cfp.siblings", "Descriptions"),
    sibling = ProtoField.bytes("cfp.sibling", "Description"),
    sibling_server = ProtoField.uint32("cfp.sibling.server", "Server ID"),
    sibling_address = ProtoField.ipv4("cfp.sibling.address", "Address"),
    sibling_port = ProtoField.uint32("cfp.sibling.port", "Port"),
    decline = ProtoField.uint8("cfp.decline", "Reason", base.DEC, DECLINES),
    error = ProtoField.uint8("cfp.error", "Reason", base.DEC, ERRORS),
    forwarded = ProtoField.bytes("cfp.forwarded", "Forwarded packet"),
    origin_number = ProtoField.uint32("cfp.number", "Number"),
    incarnation = ProtoField.uint32("cfp.incarnation", "Incarnation"),
    version = ProtoField.uint32("cfp.version", "Version"),
    held = ProtoField.uint32("cfp.held", "Server that what is sent to has to wait"),
    hold = ProtoField.uint8("cfp.hold", "Hold", base.DEC, HOLDS),
    stamp = ProtoField.uint32("cfp.stamp", "Highest stamp known"),
    links = ProtoField.uint32("cfp.links", "Links"),
    link = ProtoField.bytes("cfp.link", "Link"),
    link_server = ProtoField.uint32("cfp.link.server", "Server ID"),
    link_stamp = ProtoField.uint32("cfp.link.stamp", "Stamp"),
    skipped = ProtoField.bytes("cfp.skipped", "Skipped"),
}
-- The count in front of each text.
local counts = {}
for _, name in ipairs({ "nickname", "password", "message", "sender", "receiver", "file_name" }) do
    counts[name] = ProtoField.uint32("cfp." .. name .. ".len", "Length")
end

local function values(...)
    local all = {}
    for _, group in ipairs({ ... }) do
        for _, value in pairs(group) do all[#all + 1] = value end
    end
    return all
end
cfp.fields = values(fields, counts)

local function expert_info(name, ...) return ProtoExpert.new("cfp." .. name, ...) end
local MALFORMED, WARN, NOTE = expert.group.MALFORMED, expert.severity.WARN, expert.severity.NOTE
local experts = {
    unknown_code = expert_info("unknown_code", "Unknown code: skipped one byte of it", MALFORMED, WARN),
    overlong = expert_info("overlong", "Longer than its limit: the packet is ignored", MALFORMED, WARN),
    not_utf8 = expert_info("not_utf8", "Not UTF-8: the packet is ignored", MALFORMED, WARN),
    bad_nickname = expert_info("bad_nickname", "Nobody can be called so: the packet is ignored", MALFORMED, WARN),
    bad_value = expert_info("bad_value", "No value that the layout knows: the packet is ignored", MALFORMED, WARN),
    not_forwardable = expert_info("not_forwardable", "Not to be forwarded: the packet is ignored", MALFORMED, WARN),
    bad_description = expert_info("bad_description", "Nothing that can be dialled: passed over", MALFORMED, NOTE),
    incomplete = expert_info("incomplete", "The rest of the packet is not here", expert.group.REASSEMBLE, NOTE),
    old_code = expert_info("old_code", "0x32 for PCKFWD, a slip in the RFC", expert.group.PROTOCOL, NOTE),
    refused = expert_info("refused", "Refused", expert.group.RESPONSE_CODE, NOTE),
}
cfp.experts = values(experts)

---- Layouts -----------------------------------------------------------------------------------------------------------
local function fixed(name, size) return { name = name, size = size or 4 } end
local function text(name, limit) return { name = name, limit = function() return limit end, unit = 1 } end
local MESSAGE = { name = "message", limit = function() return cfp.prefs.max_message end, unit = 1 }
local function descriptions_max() return cfp.prefs.routed and ROUTED_DESCRIPTIONS_MAX or DESCRIPTIONS_MAX end
local DESCRIPTIONS = { name = "siblings", limit = descriptions_max, unit = DESCRIPTION_BYTES }
-- One description, without a count.
local DESCRIPTION = { name = "sibling", size = DESCRIPTION_BYTES }
local LINKS = { name = "links", limit = function() return LINKS_MAX end, unit = LINK_BYTES }
-- A whole packet with its own code.
local FORWARDED = { name = "forwarded" }

local NICKNAME, SENDER = text("nickname", NICKNAME_MAX_BYTES), text("sender", NICKNAME_MAX_BYTES)
local RECEIVER, FILE_NAME = text("receiver", NICKNAME_MAX_BYTES), text("file_name", FILE_NAME_MAX_BYTES)
local ORIGIN, DESTINATION = fixed("origin"), fixed("destination")
local TRANSFER, CHUNKS, CONTENT = fixed("transfer"), fixed("chunks"), fixed("content", CHUNK_BYTES)

-- The fields after the code.
local LAYOUTS = {
    [0x00] = { NICKNAME },
    [0x01] = { NICKNAME, text("password", PASSWORD_MAX_BYTES) },
    [0x10] = { fixed("response", 1) },
    [0x20] = { MESSAGE },
    [0x21] = { DESTINATION, RECEIVER, MESSAGE },
    [0x30] = { ORIGIN, SENDER, MESSAGE },
    [0x31] = { ORIGIN, SENDER, RECEIVER, MESSAGE },
    [0x40] = { DESTINATION, RECEIVER, TRANSFER, FILE_NAME, CHUNKS, CONTENT },
    [0x41] = { ORIGIN, SENDER, RECEIVER, TRANSFER, FILE_NAME, CHUNKS, CONTENT },
    [0x50] = { DESTINATION, FORWARDED },
    [0xA0] = { fixed("server"), DESCRIPTIONS },
    [0xA1] = { fixed("server"), DESCRIPTIONS },
    [0xA2] = { fixed("decline", 1) },
    [0xF0] = { SENDER, fixed("error", 1) },
}
LAYOUTS[0x32] = LAYOUTS[0x50]
-- Between routed servers, and at the front of a packet only.
local ROUTED_LAYOUTS = {
    [0x51] = { DESTINATION, ORIGIN, fixed("incarnation"), fixed("origin_number"), FORWARDED },
    [0x52] = { DESCRIPTION, fixed("incarnation"), fixed("version"), LINKS },
    [0x53] = { fixed("held"), fixed("hold", 1) },
    [0x54] = { fixed("stamp") },
}
local function layout_of(code) return LAYOUTS[code] or cfp.prefs.routed and ROUTED_LAYOUTS[code] or nil end
local FORWARDABLE = { [0x30] = true, [0x31] = true, [0x41] = true, [0xF0] = true }
-- What the first packet of a connection can be.
local OPENING = { [0x00] = true, [0x01] = true, [0xA0] = true }

---- Framing -----------------------------------------------------------------------------------------------------------
-- What stands at `start`, with bytes up to `stop`:
--   "packet", length           a whole packet
--   "unknown", length          up to and with an unknown code, at the front or forwarded
--   "overlong", length, skip   its first bytes end right behind what told so; `skip` says what is to be skipped then
--   "incomplete", length       there has to be more; `length` is nil while a count is not here yet
local function scan(tvb, start, stop)
    local layout = layout_of(tvb(start, 1):uint())
    if not layout then return "unknown", 1 end
    local at, index = start + 1, 1
    while layout[index] do
        local field = layout[index]
        index = index + 1
        if field.size then
            at = at + field.size
        elseif field == FORWARDED then
            if at >= stop then return "incomplete" end
            local inner = LAYOUTS[tvb(at, 1):uint()]
            at = at + 1
            if not inner then return "unknown", at - start end
            if inner == LAYOUTS[0x50] then
                return "overlong", at - start, { layout = inner, index = 1, left = 0, count = "" }
            end
            layout, index = inner, 1
        else
            if at + 4 > stop then return "incomplete" end
            local count = tvb(at, 4):uint()
            at = at + 4
            if count > field.limit() then
                return "overlong", at - start, { layout = layout, index = index, left = count * field.unit, count = "" }
            end
            at = at + count * field.unit
        end
    end
    if at > stop then return "incomplete", at - start end
    return "packet", at - start
end

-- Goes on with a packet that is skipped. Returns the position after it, and what is left to skip, if anything. A skip
-- is never changed, only replaced, because it is kept for each frame.
local function advance(skip, tvb, at, stop)
    local layout, index, left, count = skip.layout, skip.index, skip.left, skip.count
    while true do
        local step = math.min(left, stop - at)
        at, left = at + step, left - step
        local field = layout[index]
        if left == 0 and not field then return at, nil end
        if at == stop then return at, { layout = layout, index = index, left = left, count = count } end
        if field.size then
            left, index = field.size, index + 1
        elseif field == FORWARDED then
            layout, index = LAYOUTS[tvb(at, 1):uint()], 1
            at = at + 1
            -- An unknown code: it is over, one byte behind it.
            if not layout then return at, nil end
        else
            count = count .. tvb(at, 1):raw()
            at = at + 1
            if #count == 4 then
                local a, b, c, d = count:byte(1, 4)
                left, index, count = (((a * 256 + b) * 256 + c) * 256 + d) * field.unit, index + 1, ""
            end
        end
    end
end

---- Texts -------------------------------------------------------------------------------------------------------------
-- Each kind of first byte, with the second byte's range and how many bytes follow in all (RFC 3629, section 4).
local SEQUENCES = {
    { 0xC2, 0xDF, 0x80, 0xBF, 1 }, { 0xE0, 0xE0, 0xA0, 0xBF, 2 }, { 0xE1, 0xEC, 0x80, 0xBF, 2 },
    { 0xED, 0xED, 0x80, 0x9F, 2 }, { 0xEE, 0xEF, 0x80, 0xBF, 2 }, { 0xF0, 0xF0, 0x90, 0xBF, 3 },
    { 0xF1, 0xF3, 0x80, 0xBF, 3 }, { 0xF4, 0xF4, 0x80, 0x8F, 3 },
}

local function is_utf8(bytes)
    local at = bytes:find("[\128-\255]")
    while at do
        local first, second = bytes:byte(at, at + 1)
        local more
        for _, kind in ipairs(SEQUENCES) do
            if first >= kind[1] and first <= kind[2] and second and second >= kind[3] and second <= kind[4] then
                more = kind[5]
            end
        end
        if not more or not bytes:find("^" .. ("[\128-\191]"):rep(more), at + 1) then return false end
        at = bytes:find("[\128-\255]", at + 1 + more)
    end
    return true
end

-- Unicode's white space beyond ASCII's, less U+0085, which is a control character.
local BLANKS = { " ", "\194\160", "\225\154\128", "\226\129\159", "\227\128\128" }
for _, last in ipairs({ 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 168, 169, 175 }) do
    BLANKS[#BLANKS + 1] = "\226\128" .. string.char(last)
end

local function is_nickname(bytes)
    if bytes == "" or #bytes > NICKNAME_MAX_BYTES or not is_utf8(bytes) then return false end
    if bytes:find("[%z\1-\31\127]") or bytes:find("\194[\128-\159]") then return false end
    for _, blank in ipairs(BLANKS) do
        if bytes:sub(1, #blank) == blank or bytes:sub(-#blank) == blank then return false end
    end
    return true
end

-- For the Info column: one line, not too long, cut between characters.
local function readable(range)
    local bytes = range and range:raw() or ""
    local shown = is_utf8(bytes) and bytes or bytes:gsub("[\128-\255]", "?")
    if #shown > INFO_TEXT_MAX_BYTES then
        shown = shown:sub(1, INFO_TEXT_MAX_BYTES):gsub("[\192-\255][\128-\191]*$", "") .. "…"
    end
    return (shown:gsub("%c", function(char) return ("\\x%02x"):format(char:byte()) end))
end

---- The tree ----------------------------------------------------------------------------------------------------------
-- These add a field and return the position behind it. They return nil if a part of the field is missing, or if it is
-- over its limit. What the summary needs goes into `seen`.

local function add_text(field, tvb, at, stop, tree, seen)
    if at + 4 > stop then return nil end
    local range = tvb(at, 4)
    local count = range:uint()
    local count_item = tree:add(counts[field.name], range)
    at = at + 4
    if count > field.limit() then
        count_item:add_proto_expert_info(experts.overlong)
        return nil
    end
    if at + count > stop then return nil end
    local content = count > 0 and tvb(at, count) or nil
    local bytes = content and content:raw() or ""
    local item = tree:add(fields[field.name], content or range, content and content:string(ENC_UTF_8) or "")
    local problem = not is_utf8(bytes) and experts.not_utf8
        or field == NICKNAME and not is_nickname(bytes) and experts.bad_nickname
        or field == FILE_NAME and bytes == "" and experts.bad_value
    if problem then item:add_proto_expert_info(problem) end
    seen[field.name] = readable(content)
    return at + count
end

local function add_description(_, tvb, at, stop, tree, seen)
    if at + DESCRIPTION_BYTES > stop then return nil end
    local server, address, port = tvb(at, 4), tvb(at + 4, 4), tvb(at + 8, 4)
    local shown = ("%d=%s:%d"):format(server:uint(), tostring(address:ipv4()), port:uint())
    local branch = tree:add(fields.sibling, tvb(at, DESCRIPTION_BYTES))
    branch:set_text("Description: " .. shown)
    branch:add(fields.sibling_server, server)
    branch:add(fields.sibling_address, address)
    branch:add(fields.sibling_port, port)
    local first = address(0, 1):uint()
    if port:uint() == 0 or port:uint() > 65535 or first == 0 or first >= 224 then
        branch:add_proto_expert_info(experts.bad_description)
    end
    seen.sibling = shown
    return at + DESCRIPTION_BYTES
end

local function add_descriptions(_, tvb, at, stop, tree, seen)
    if at + 4 > stop then return nil end
    local count = tvb(at, 4):uint()
    local count_item = tree:add(fields.siblings, tvb(at, 4))
    if count > descriptions_max() then
        count_item:add_proto_expert_info(experts.overlong)
        return nil
    end
    at = at + 4
    local all = {}
    for _ = 1, count do
        local one = {}
        at = add_description(nil, tvb, at, stop, tree, one)
        if not at then return nil end
        all[#all + 1] = one.sibling
    end
    seen.siblings = table.concat(all, ", ")
    return at
end

local function add_links(_, tvb, at, stop, tree, seen)
    if at + 4 > stop then return nil end
    local count = tvb(at, 4):uint()
    local count_item = tree:add(fields.links, tvb(at, 4))
    if count > LINKS_MAX then
        count_item:add_proto_expert_info(experts.overlong)
        return nil
    end
    at = at + 4
    local all = {}
    for _ = 1, count do
        if at + LINK_BYTES > stop then return nil end
        local server, stamp = tvb(at, 4), tvb(at + 4, 4)
        local branch = tree:add(fields.link, tvb(at, LINK_BYTES))
        all[#all + 1] = ("%d/%d"):format(server:uint(), stamp:uint())
        branch:set_text("Link: " .. all[#all])
        branch:add(fields.link_server, server)
        branch:add(fields.link_stamp, stamp)
        at = at + LINK_BYTES
    end
    seen.links = table.concat(all, ", ")
    return at
end

local VALUES = { response = RESPONSES, decline = DECLINES, error = ERRORS, hold = HOLDS }

local function add_fixed(field, tvb, at, stop, tree, seen)
    if at + field.size > stop then return nil end
    local range = tvb(at, field.size)
    local item = tree:add(fields[field.name], range)
    if field ~= CONTENT then
        local value, meanings = range:uint(), VALUES[field.name]
        seen[field.name] = meanings and (meanings[value] or tostring(value)) or value
        if meanings and not meanings[value] or field == CHUNKS and value == 0 then
            item:add_proto_expert_info(experts.bad_value)
        elseif meanings and meanings ~= HOLDS and not (meanings == RESPONSES and value == 0) then
            item:add_proto_expert_info(experts.refused, "Refused: " .. meanings[value])
        end
    end
    return at + field.size
end

-- A packet's content in one line, without the fields that are missing.
local function summary(code, seen)
    local parts = { NAMES[code] }
    local function add(...)
        for i = 1, select("#", ...) do if select(i, ...) == nil then return end end
        parts[#parts + 1] = table.concat({ ... })
    end
    local from = seen.sender or seen.nickname
    if from and seen.origin then add(" ", from, "@", seen.origin) else add(" ", from) end
    add(" to ", seen.receiver or seen.destination)
    if seen.receiver then add("@", seen.destination) end
    add(" from ", seen.server)
    add(": ", seen.message)
    add(": ", seen.file_name, ", transfer ", seen.transfer, ", ", seen.chunks, " chunks in all")
    add(": ", seen.response or seen.decline or seen.error)
    add(": ", seen.siblings)
    add(" ", seen.sibling, ", version ", seen.incarnation, ".", seen.version)
    add(": ", seen.links)
    if not seen.version then add(" from ", seen.origin, ", number ", seen.incarnation, ".", seen.origin_number) end
    add(" ", seen.held, ": ", seen.hold)
    add(" ", seen.stamp)
    add(": ", seen.forwarded)
    return table.concat(parts)
end

-- Adds the packet at `start`, as far as it is here. Returns its summary.
local function add_packet(tvb, start, stop, tree, outer)
    local range = tvb(start, 1)
    local code, seen = range:uint(), {}
    local item = tree:add(fields.code, range)
    if outer and not FORWARDABLE[code] then item:add_proto_expert_info(experts.not_forwardable) end
    if code == 0x32 then item:add_proto_expert_info(experts.old_code) end
    local at = start + 1
    for _, field in ipairs(layout_of(code)) do
        if field == FORWARDED then
            local inner = at < stop and tvb(at, 1):uint()
            if not inner then
                at = nil
            elseif not LAYOUTS[inner] or LAYOUTS[inner] == LAYOUTS[0x50] then
                local kind = LAYOUTS[inner] and experts.not_forwardable or experts.unknown_code
                tree:add(fields.code, tvb(at, 1)):add_proto_expert_info(kind)
                return summary(code, seen)
            else
                local branch = tree:add(fields.forwarded, tvb(at, stop - at))
                seen.forwarded, at = add_packet(tvb, at, stop, branch, code)
                branch:set_text("Forwarded packet: " .. seen.forwarded)
            end
        else
            local add = field == DESCRIPTION and add_description or field.size and add_fixed
                or field == DESCRIPTIONS and add_descriptions or field == LINKS and add_links or add_text
            at = add(field, tvb, at, stop, tree, seen)
        end
        if not at then break end
    end
    return summary(code, seen), at
end

---- Streams -----------------------------------------------------------------------------------------------------------
local tcp_stream = Field.new("tcp.stream")
-- The packet that each direction of a connection is skipping, while frames come in order for the first time. Also the
-- state before each call, for when a frame is dissected again. A frame can have two calls: the end of a reassembled
-- packet, and what follows.
local skipping, skipping_at = {}, {}

function cfp.init() skipping, skipping_at = {}, {} end

-- The stream's number tells connections apart that had the same ports. It is there only if a tree is built.
local function direction(pinfo)
    local stream = tcp_stream()
    return table.concat({ stream and tostring(stream) or "", tostring(pinfo.src), pinfo.src_port, pinfo.dst_port }, " ")
end

local function show(pinfo, lines)
    local shown, bytes = {}, 0
    for index, line in ipairs(lines) do
        bytes = bytes + #line
        local is_too_much = index > 1 and bytes > INFO_MAX_BYTES
        shown[index] = is_too_much and ("and %d more"):format(#lines - index + 1) or line
        if is_too_much then break end
    end
    pinfo.cols.protocol = "CFP"
    -- With a blank and a fence, because the text for a reassembled packet comes first in the same frame.
    pinfo.cols.info:set(table.concat(shown, " | ") .. " ")
    pinfo.cols.info:fence()
end

function cfp.dissector(tvb, pinfo, root)
    local stop, missing = tvb:len(), tvb:reported_len() - tvb:len()
    local way, call = direction(pinfo), ("%d %d"):format(pinfo.number, tvb:offset())
    if not pinfo.visited then skipping_at[call] = skipping[way] end
    local skip, lines, at = skipping_at[call], {}, 0

    if skip then
        at, skip = advance(skip, tvb, at, stop)
        if at > 0 then
            lines[1] = ("(%d bytes skipped)"):format(at)
            root:add(cfp, tvb(0, at)):add(fields.skipped, tvb(0, at))
        end
    end
    while at < stop do
        local kind, length, rest = scan(tvb, at, stop)
        local start = at
        if kind == "packet" then
            at = at + length
            local tree = root:add(cfp, tvb(start, length))
            local says = add_packet(tvb, start, at, tree)
            tree:set_text("Chat Fusion Protocol, " .. says)
            lines[#lines + 1] = says
        elseif kind == "incomplete" and missing == 0 and pinfo.can_desegment > 0 then
            -- An exact figure only once it is final: asking twice for more would break the reassembly.
            pinfo.desegment_offset = at
            pinfo.desegment_len = length and at + length - stop or DESEGMENT_ONE_MORE_SEGMENT
            break
        elseif kind == "unknown" and length == 1 then
            -- A run of unknown bytes is one item: it can be long if the stream is another protocol.
            repeat at = at + 1 until at == stop or layout_of(tvb(at, 1):uint())
            local tree = root:add(cfp, tvb(start, at - start))
            tree:add(fields.code, tvb(start, 1)):add_proto_expert_info(experts.unknown_code)
            lines[#lines + 1] = ("(unknown code 0x%02x)"):format(tvb(start, 1):uint())
        elseif kind == "unknown" then
            at = at + length
            local says = add_packet(tvb, start, at, root:add(cfp, tvb(start, length)))
            lines[#lines + 1] = says .. " (ignored)"
        else
            -- The packet will be ignored, or is cut off and the rest cannot be collected. Show what is here, and skip
            -- in step.
            local tree = root:add(cfp, tvb(start, stop - start))
            local says = add_packet(tvb, start, stop, tree)
            if kind == "overlong" then
                says = says .. " (ignored)"
                at, skip = advance(rest, tvb, at + length, stop)
                local skipped = at - start - length
                if skipped > 0 then tree:add(fields.skipped, tvb(start + length, skipped)) end
            else
                says = says .. " (incomplete)"
                tree:add_proto_expert_info(experts.incomplete)
                rest = { layout = layout_of(tvb(at, 1):uint()), index = 1, left = 1, count = "" }
                at, skip = advance(rest, tvb, at, stop)
            end
            tree:set_text("Chat Fusion Protocol, " .. says)
            tree:set_len(at - start)
            lines[#lines + 1] = says
        end
    end

    -- Bytes that the capture left out can be skipped if they belong to one field; else the dissector is out of step.
    if skip and missing > 0 then
        local left = skip.left - missing
        skip = left >= 0 and { layout = skip.layout, index = skip.index, left = left, count = skip.count } or nil
    end
    if not pinfo.visited then skipping[way] = skip end
    if #lines > 0 then show(pinfo, lines) end
    return tvb:reported_len()
end

---- Which connections -------------------------------------------------------------------------------------------------
local tcp_ports, listed = DissectorTable.get("tcp.port"), nil
local function list_ports()
    if listed == cfp.prefs.ports then return end
    if listed and listed ~= "" then tcp_ports:remove(listed, cfp) end
    listed = cfp.prefs.ports
    if listed ~= "" then tcp_ports:add(listed, cfp) end
end
cfp.prefs_changed = list_ports
list_ports()

-- A segment that begins with a login or a merge request, and holds whole packets only.
cfp:register_heuristic("tcp", function(tvb, pinfo, root)
    local stop = tvb:len()
    if not cfp.prefs.heuristic or stop == 0 or not OPENING[tvb(0, 1):uint()] then return false end
    local at = 0
    while at < stop do
        local kind, length = scan(tvb, at, stop)
        if kind ~= "packet" then return false end
        at = at + length
    end
    local count = tvb(1, 4):uint()
    if tvb(0, 1):uint() ~= 0xA0 and not (count > 0 and is_nickname(tvb(5, count):raw())) then return false end
    pinfo.conversation = cfp
    cfp.dissector(tvb, pinfo, root)
    return true
end)
