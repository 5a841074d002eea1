"""Secrets in the frames of other tools and languages, and what stands in the same frames."""

from __future__ import annotations

import base64
import json

import pytest

from qi_learn.redact import Redactor
from tests.support.secret_vectors import remains

REDACTOR = Redactor(b"k" * 32)
TOKEN = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1x"
SHORT = "aB3dE5fG7hJ9kL1mQ2"
HEX = "1423729b9b452ec2a32d8cfc643085210adda546977570358c348b8df06d6519"
ADDRESS = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
LINE = "dTnHP1EfFyVXv9yy7v/guqxm+GOnp4uVh8hFQNbHAalgHPfPYg/hgGThD80eNqAC"
WHOLE = {
    "a key on a chain": ("PRIVATE_KEY=0x{}", HEX),
    "the option of a chain's tool": ("cast send --private-key 0x{} x", HEX),
    "accounts of hardhat": ("accounts: ['0x{}']", HEX),
    "accounts in JSON": ('{{"accounts": ["0x{}"]}}', HEX),
    "a wallet": ('new ethers.Wallet("0x{}", provider)', HEX),
    "a wallet of Python": ('Account.from_key("0x{}")', HEX),
    "a block behind a type": ('password: str = """\n{}\n"""', SHORT),
    "a block in a call": ('password = textwrap.dedent("""\n  {}\n""").strip()', SHORT),
    "a block of lines": ('password = """\n{}"""\n', SHORT),
    "a block of lines, both ends apart": ("password = '''\\\n  {}\n'''\n", SHORT),
    "a block of lines, escaped": ('"password = \\"\\"\\"\\n{}\\n\\"\\"\\""', SHORT),
    "a here-document": ("secret_string = <<EOF\n{}\nEOF\n", TOKEN),
    "an indented here-document": ("  api_key = <<-'END'\n    {}\n  END\n", TOKEN),
    "a here-document of PHP": ("$password = <<<'X'\n{}\nX;\n", SHORT),
    "a here-document in a command": ("PASSWORD=$(cat <<EOF\n{}\nEOF\n)", SHORT),
    "a tag of YAML": ("password: !!str {}\n", SHORT),
    "an anchor of YAML": ("db_password: &pw {}\nother: *pw\n", "NUHkSPRGhSODIufr29"),
    "CDATA": ("<password><![CDATA[{}]]></password>", SHORT),
    "%q of Ruby": ("password = %q({})", SHORT),
    "%q with other brackets": ("password = %q{{{}}}", SHORT),
    "a property list": ("<key>apiToken</key>\n\t<string>{}</string>", TOKEN),
    "Hadoop's XML": ("<name>fs.s3a.secret.key</name>\n<value>{}</value>", TOKEN),
    "entities": ("password=&quot;{}&quot;", SHORT),
    "entities in JSON": ("{{&quot;password&quot;:&quot;{}&quot;}}", SHORT),
    "numbered entities": ("password: &#39;{}&#39;", SHORT),
    "percent": ("%22password%22%3A%22{}%22", SHORT),
    "percent, small": ("%7b%22api_key%22%3a%20%22{}%22%7d", TOKEN),
    "percent, twice": ("%257B%2522password%2522%253A%2522{}%2522%257D", SHORT),
    "a form with a type": ('name="api_key"\r\nContent-Type: text/plain\r\n\r\n{}\r\n--x', TOKEN),
    "a form": ('Content-Disposition: form-data; name="password"\r\n\r\n{}\r\n--x', SHORT),
    "a form, escaped": ('"form-data; name=\\"password\\"\\r\\n\\r\\n{}\\r\\n--x"', SHORT),
    "colours": ("\x1b[33mpassword\x1b[0m: \x1b[1m{}\x1b[0m", SHORT),
    "colours of grep": ("\x1b[01;31m\x1b[Kpassword\x1b[m\x1b[K = '{}'", SHORT),
    "colours, escaped": ('"\\u001b[33mpassword\\u001b[0m: \\u001b[1m{}\\u001b[0m"', SHORT),
    "a message queue": ("mosquitto_pub -h h -u me -P {} -t t -m m", SHORT),
    "FreeRDP": ("xfreerdp /u:me /p:{} /v:host", SHORT),
    "OpenSSL": ("openssl enc -aes-256-cbc -k {} -in x", SHORT),
    "a network drive": ("net use Z: \\\\srv\\share {} /user:dom\\me", SHORT),
    "a network drive, the user first": ("net use \\\\nas\\docs /user:dom\\me {}\n", SHORT),
    "a network drive, short": ("net use \\\\10.0.0.4\\c$ /u:dom\\me {}", SHORT),
    "a user of Windows": ("net user bob {} /add", SHORT),
    "a parameter of AWS": (
        "aws ssm put-parameter --name /db/password --value '{}' --type SecureString",
        TOKEN,
    ),
    "the type first": (
        "aws ssm put-parameter --type SecureString \\\n  --name x --value {}\n",
        TOKEN,
    ),
    "wrangler": ("echo '{}' | npx wrangler secret put API_KEY", TOKEN),
    "printf with its format": ("printf '%s' '{}' | wrangler secret put X", TOKEN),
    "a traced curl": ("+ curl '-ume:{}' https://x", SHORT),
    "vercel": ("echo -n {} | vercel env add API_TOKEN production", TOKEN),
    "a traced command": ("+ mysql -uroot '-p{}' shop", SHORT),
    "a command as a list": ('run(["sshpass", "-p", "{}", "ssh", "h"])', SHORT),
    "a list, joined to its option": ('run(["mysql", "-uroot", "-p{}"])', SHORT),
    "npm": ("//registry.npmjs.org/:_auth={}", "dTpQNWwzSlV3YmZkRE85Y21heDRGRQ=="),
    "a personal token": (
        "AZURE_DEVOPS_EXT_PAT={}",
        "pap7622uorzqou6ko4bw3vkbdwzirmls7aot2he6zbv6ltfl36rk",
    ),
    "a personal token in code": ('os.environ["GH_PAT"] = "{}"', TOKEN),
    "a personal token alone": ("PAT={}", TOKEN),
    "a section with a colon": ('"Jwt:Key": "{}"', TOKEN),
    "a section in a variable": ("Jwt__Key={}", TOKEN),
    "a section in YAML": ("jwt:\n  issuer: x\n  key: {}\n", TOKEN),
    "a section": ('"Jwt": {{ "Key": "{}", "Issuer": "x" }}', TOKEN),
    "a section, the key last": ('"JwtSettings": {{"Issuer": "x", "Key": "{}"}}', TOKEN),
    "d of a JSON web key": ('{{"kty":"RSA","n":"x","e":"AQAB","d":"{}"}}', TOKEN + "_" + TOKEN),
    "k of a JSON web key": ('{{"kty":"oct","kid":"1","k":"{}"}}', TOKEN),
    "a web key in Python": ("{{'kty': 'oct', 'k': '{}'}}", TOKEN),
    "a web key in JavaScript": ("{{kty: 'oct', k: '{}'}}", TOKEN),
    "k before the type": ('{{"k": "{}", "kty": "oct"}}', TOKEN),
    "an escaped JSON web key": ('"{{\\"kty\\":\\"oct\\",\\"k\\":\\"{}\\"}}"', TOKEN),
    "a cookie in code": ("cookies = {{'sessionid': '{}'}}", TOKEN),
    "a cookie that is set": ("client.cookies['sessionid'] = '{}'", TOKEN),
    "a cookie of the browser": ("PHPSESSID={}; path=/", TOKEN),
    "a cookie of ASP.NET": ("Cookie: .AspNetCore.Identity.Application={}", TOKEN * 4),
    "another cookie in code": ('requests.get(u, cookies={{"auth": "{}"}})', TOKEN),
    "a schema": ('{{"api_key": {{"type": "string", "default": "{}"}}}}', TOKEN),
    "a schema with braces": (
        '{{"api_key": {{"type": "string", "description": "a {{key}}", "default": "{}"}}}}',
        TOKEN,
    ),
    "a schema in JavaScript": ("apiKey: {{ type: String, default: '{}' }}", TOKEN),
    "a schema in Python": ('api_key: str = Field(default="{}")', TOKEN),
    "a schema by calls": ("apiKey: z.string().default('{}')", TOKEN),
    "an option's default": ("parser.add_argument('--token', type=str, default='{}')", TOKEN),
    "an escaped schema": (
        '"{{\\"api_key\\": {{\\"type\\": \\"string\\", \\"default\\": \\"{}\\"}}}}"',
        TOKEN,
    ),
    "an output of Terraform": (
        '"db_password": {{"sensitive": true, "type": "string", "value": "{}"}}',
        SHORT,
    ),
    "a schema in YAML": ("api_key:\n  type: string\n  default: {}\n", TOKEN),
    "Russian": ("пароль: {}", SHORT),
    "Russian, a capital": ("Пароль = {}", SHORT),
    "Chinese": ("密码：{}", SHORT),
    "Chinese, traditional": ("密碼: {}", SHORT),
    "Spanish": ("contraseña: {}", SHORT),
    "Spanish, the accent apart": ("contrasen\u0303a: {}", SHORT),
    "French": ("mot de passe : {}", SHORT),
    "French, its narrow blank": ("Mot de passe\u202f: {}", SHORT),
    "Italian": ("parola d'ordine: {}", SHORT),
    "Portuguese": ("Senha: {}", SHORT),
    "Portuguese, of Portugal": ("palavra-passe: {}", SHORT),
    "Polish": ("Hasło: {}", SHORT),
    "Japanese": ("パスワード：{}", SHORT),
    "Korean": ("비밀번호: {}", SHORT),
    "Russian, with a dash": ("пароль - {}", SHORT),
    "Chinese, a sentence": ("密码是：{}", SHORT),
    "Chinese, in its quotes": ("密码：「{}」", SHORT),
    "curly quotes": ("password: “{}”", SHORT),
    "Spanish, a sentence": ("la contraseña es {}", SHORT),
    "French, a sentence": ("le mot de passe est {}", SHORT),
    "Italian, a sentence": ("la password è {}", SHORT),
    "Portuguese, a sentence": ("a senha é {}", SHORT),
    "Polish, a sentence": ("Hasło to {}", SHORT),
    "Japanese, a sentence": ("パスワードは {}", SHORT),
    "a token in Russian": ("токен: {}", TOKEN),
    "a token in Chinese": ("令牌：{}", TOKEN),
    "a key in Chinese": ("密钥：{}", TOKEN),
    "a key in French": ("clé API : {}", TOKEN),
    "a key in Spanish": ("clave de API: {}", TOKEN),
    "a key in Japanese": ("APIキー：{}", TOKEN),
    "a key in German": ("API-Schlüssel: {}", TOKEN),
    "Dutch": ("wachtwoord: {}", SHORT),
    "Swedish": ("lösenord: {}", SHORT),
    "Turkish": ("şifre: {}", SHORT),
}
KEPT = {
    "a contract's address": f"token: {ADDRESS}",
    "an address in a variable": f"USDC_TOKEN={ADDRESS}",
    "an address in quotes": f'"token": "{ADDRESS}"',
    "an address as a secret": f'secret = "{ADDRESS}"',
    "a hash of 64 digits": f"tx: 0x{HEX}",
    "a token by 64 digits": f"token: 0x{HEX}",
    "accounts by address": f"accounts: ['{ADDRESS}']",
    "a key of zeros": f"PRIVATE_KEY=0x{'0' * 63}1",
    "a hash by its name": f"token_sha256: {HEX}",
    "another hash": f"secret_md5 = '{HEX[:32]}'",
    "a colour": 'pass: "#A1B2C3D4"',
    "a pass of rendering": 'renderPass: "GBuffer_Pass_01"',
    "a pass of a shader": 'pass = "DepthPrepassRGBA16F"',
    "a call to pass": "what you'd pass to `model.generate(**sample_inputs)`",
    "a sealed secret": f"encryptedData:\n  password: AgB{LINE}{LINE}{LINE}",
    "what KMS encrypted": f'password: "AQICAHh{LINE}{LINE}"',
    "what OpenSSL encrypted": f'password: "U2FsdGVkX1{LINE}"',
    "a default that says how": '{"api_key": {"type": "string", "default": "your-api-key-1"}}',
    "a public key": f'{{"kty":"EC","crv":"P-256","x":"{TOKEN}","y":"{TOKEN}"}}',
    "d of something else": f'{{"path": "x", "d": "{TOKEN}"}}',
    "a key of something else": f'"cache": {{"key": "{TOKEN}"}}',
    "a Python format": "password = %(password_2024)s",
    "a here-document of text": "password_help = <<EOF\nChoose12 something long.\nEOF\n",
    "another field": f'form-data; name="upload"\r\n\r\n{SHORT}\r\n--x',
    "a pattern": "date_pat = 'YYYY-MM-DD-HH24-MI-SS'; pat = re.compile(x)",
    "an option's path": "add_argument('--token', type=str, default='tokens-2024.json')",
    "a field of words": 'token: str = Field(default="bearer-of-words-v2")',
    "a key of a map": "encryption:\n  mode: x\n  key: arn:aws:kms:eu-1:123456789012:key/a1b2c3d4\n",
    "a user that goes": "net user bob2024xQ7 /delete",
    "a dash in a sentence": "the password - see RFC7617, section 2.1 - is sent as it is",
    "curl -k": "curl -k Build2024xQ7Zw9 https://h",
    "msbuild /p": "msbuild /p:Configuration=Release2024x64",
    "a parameter in the open": f"aws ssm put-parameter --name x --value {TOKEN} --type String",
    "an echo": f"echo {TOKEN} | wc -c",
    "net use alone": "net use Z: \\\\srv\\share2024xQ7 /persistent:yes",
    "a path": "get_path = 'src/Build7/x86_64-Release42'",
    "a session's id": "sessionId: '6f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f'",
    "a label in a sentence": "пароль: не меньше 12 символов; mot de passe : au moins 8",
    "a review in Portuguese": "resenha: capitulo-12-parte-3",
    "base64 without one": base64.b64encode(b"the password must have 12 letters").decode(),
    "base64 of a call": base64.b64encode(b"token=jwt.encode4Ft(x9Kq2mZ7p)").decode(),
    "base64 of a reference": base64.b64encode(b"PASSWORD=${DB_PASSWORD_2024}").decode(),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_secret_in_its_frame_goes(name: str) -> None:
    frame, secret = WHOLE[name]
    out = REDACTOR.text(frame.format(secret))
    assert "[REDACTED:" in out
    assert not remains(secret, out)
    assert REDACTOR.text(out) == out


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_is_none_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


@pytest.mark.parametrize(
    "frame",
    [
        'TOKEN = ("{}"\n         "{}")',
        'api_key = "".join(["{}", "{}"])',
        'const apiKey = ["{}", "{}"].join("")',
    ],
)
def test_a_secret_in_parts_goes(frame: str) -> None:
    first, second = TOKEN[:14], TOKEN[14:]
    out = REDACTOR.text(frame.format(first, second))
    assert first not in out
    assert second not in out


def test_an_old_form_of_private_keys_goes() -> None:
    """The frame of RFC 4716, as ssh.com's programs write it."""
    kind = "SSH2 ENCRYPTED PRIVATE KEY ----"
    text = f'---- BEGIN {kind}\nComment: "x"\n{LINE}\n{LINE}\n---- END {kind}\nafter'
    out = REDACTOR.text(text)
    assert LINE not in out
    assert out.startswith(f"---- BEGIN {kind}[REDACTED:private-key:")
    assert out.endswith(f"]---- END {kind}\nafter")


@pytest.mark.parametrize("said", ["DB_PASSWORD={}", "x=1\nexport API_KEY='{}'\n", "my_token: {}"])
def test_a_text_in_base64_that_names_a_secret_goes(said: str) -> None:
    encoded = base64.b64encode(said.format(TOKEN).encode()).decode()
    out = REDACTOR.text(f"ENV_B64={encoded}\nand")
    assert out.startswith("ENV_B64=[REDACTED:assigned:")
    assert out.endswith("]\nand")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"api_key": {"type": "string", "default": TOKEN}}, "string"),
        ({"db_password": {"sensitive": True, "type": "string", "value": TOKEN}}, "string"),
        ({"Jwt": {"Key": TOKEN, "Issuer": "orders"}}, "orders"),
        ({"kty": "oct", "kid": "2024", "k": TOKEN}, "2024"),
        ({"accounts": [f"0x{HEX}"], "url": "rpc"}, "rpc"),
    ],
)
def test_a_secret_by_the_object_it_stands_in_goes(value: dict[str, object], kept: str) -> None:
    out = json.dumps(REDACTOR.value(value))
    assert TOKEN not in out
    assert HEX not in out
    assert kept in out


@pytest.mark.parametrize(
    "value",
    [
        {"limit": {"type": "string", "default": TOKEN}},
        {"limit": {"value": TOKEN}},
        {"cache": {"Key": TOKEN}},
        {"kty": "RSA", "n": TOKEN, "e": "AQAB"},
        {"accounts": [ADDRESS]},
        {"token": ADDRESS},
    ],
)
def test_an_object_of_something_else_stays(value: dict[str, object]) -> None:
    assert REDACTOR.value(value) == value
