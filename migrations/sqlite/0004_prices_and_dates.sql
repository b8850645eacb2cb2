-- What products can be filtered and sorted by beside their attributes.

ALTER TABLE products ADD COLUMN sale_price REAL;
-- Of both prices, as ISO 4217 writes it; NULL: the shop's own.
ALTER TABLE products ADD COLUMN currency TEXT;
-- When the shop got the product, or this catalog where the shop does not say, in Unix seconds; NULL: before this column.
ALTER TABLE products ADD COLUMN created INTEGER;

-- Grows with every change of a price or a date. An index takes them over without building anything else anew.
ALTER TABLE state ADD COLUMN fields INTEGER NOT NULL DEFAULT 0;
