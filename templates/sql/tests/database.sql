-- The tables that the tests fill and mirror. `pg_dump --schema-only --no-owner --no-privileges` prints those of a database.
CREATE TYPE order_status AS ENUM ('open', 'paid', 'shipped');
CREATE TABLE customers (
    id bigint PRIMARY KEY,
    name varchar(200) NOT NULL,
    address jsonb,
    removed_at timestamptz,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE customers IS 'Who may order.';
COMMENT ON COLUMN customers.id IS 'Immutable id.';
COMMENT ON COLUMN customers.removed_at IS 'When the customer was removed; the row stays.';
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
    status order_status NOT NULL,
    "Total Amount" numeric(12, 2),
    ordered_on date,
    tags text[],
    updated_at timestamptz
);
COMMENT ON TABLE orders IS 'What customers ordered.';
COMMENT ON COLUMN orders."Total Amount" IS 'In euros, with taxes.';
CREATE TABLE order_lines (
    order_id uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    line smallint NOT NULL,
    product text NOT NULL,
    quantity integer NOT NULL,
    price double precision,
    PRIMARY KEY (order_id, line)
);
COMMENT ON TABLE order_lines IS 'What is in an order.';
